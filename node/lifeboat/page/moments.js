// How a moment is said: "Tuesday", "13 October 2026". Times are what a record's author claimed: any number may come.

const DAYS = ["Sunday", "Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday"];
const MONTHS = ["January", "February", "March", "April", "May", "June", "July", "August", "September", "October", "November", "December"];

// The moment in the zone of this machine; null where no calendar holds it.
function momentOf(time) {
  const then = new Date(Number(time));
  const year = then.getFullYear();
  return Number.isNaN(year) || year < 1 || year > 9999 ? null : then;
}

function clockOf(then) {
  return `${String(then.getHours()).padStart(2, "0")}:${String(then.getMinutes()).padStart(2, "0")}`;
}

function dayText(time) {
  const then = momentOf(time);
  return then ? `${then.getDate()} ${MONTHS[then.getMonth()]} ${then.getFullYear()}` : "undated";
}

function shortTime(time) {
  const then = momentOf(time);
  return then ? `${then.getDate()} ${MONTHS[then.getMonth()].slice(0, 3)} ${then.getFullYear()}` : "undated";
}

function fullTime(time) {
  const then = momentOf(time);
  return then ? `${DAYS[then.getDay()]}, ${dayText(time)}, ${clockOf(then)}` : "undated";
}

function machineTime(time) {
  return momentOf(time)?.toISOString() ?? "";
}

// A heading stands over each month: a file is read years after it was made.
function monthText(time) {
  const then = momentOf(time);
  return then ? `${MONTHS[then.getMonth()]} ${then.getFullYear()}` : "Undated";
}
