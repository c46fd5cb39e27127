"""`python -m richpanel` is the command `richpanel`."""

from richpanel.cli import main

if __name__ == "__main__":
    main()
