"""The suite. core mirrors the rules, contract the engines, flow and acceptance the whole path, sdk Segment's own."""
