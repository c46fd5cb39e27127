// Writes each <time> in the reader's zone and language. The server's text (UTC) stands where this does not run.

const MINUTE = 60_000;
const HOUR = 60 * MINUTE;
const DAY = 24 * HOUR;

const shapes = {
  full: new Intl.DateTimeFormat(undefined, { dateStyle: "medium", timeStyle: "medium" }),
  day: new Intl.DateTimeFormat(undefined, { dateStyle: "medium" }),
  moment: new Intl.DateTimeFormat(undefined, { dateStyle: "medium", timeStyle: "short" }),
  second: new Intl.DateTimeFormat(undefined, { timeStyle: "medium" }),
  clock: new Intl.DateTimeFormat(undefined, { timeStyle: "short" }),
};
const relative = new Intl.RelativeTimeFormat(undefined, { numeric: "auto", style: "short" });

function ago(date, now) {
  const past = now - date;
  if (past < 45_000 && past > -45_000) return "just now";
  if (Math.abs(past) < HOUR) return relative.format(-Math.round(past / MINUTE), "minute");
  if (Math.abs(past) < DAY) return relative.format(-Math.round(past / HOUR), "hour");
  if (Math.abs(past) < 7 * DAY) return relative.format(-Math.round(past / DAY), "day");
  return shapes.day.format(date);
}

export function localTimes(root) {
  const now = Date.now();
  for (const element of root.querySelectorAll("time[datetime]")) {
    const date = new Date(element.dateTime);
    if (Number.isNaN(date.valueOf())) continue;
    const shape = element.dataset.as ?? "moment";
    element.textContent = shape === "ago" ? ago(date, now) : shapes[shape].format(date);
    element.title = shapes.full.format(date);
  }
}
