
// The report: a list of pictures around one viewer. It follows viewer.js in the same script.
const records = JSON.parse(document.getElementById("records").textContent).filter((record) => record.after);
const element = document.getElementById("viewer");
let viewer = null;
let current = -1;

function address(record, side) {
  return record[side].file ?? document.getElementById(`${side}-${record.number}`).textContent;
}

function open(index) {
  if (index < 0 || index >= records.length || index === current) return;
  current = index;
  const record = records[index];
  const pair = { before: address(record, "before"), after: address(record, "after") };
  const shown = { ...pair, places: record.places, scale: record.scale };
  document.getElementById("name").textContent = heading(record);
  for (const button of document.querySelectorAll("button.open")) {
    const isCurrent = Number(button.dataset.number) === record.number;
    button.parentElement.classList.toggle("current", isCurrent);
    if (isCurrent) {
      button.setAttribute("aria-current", "true");
      button.parentElement.scrollIntoView({ block: "nearest" });
    } else button.removeAttribute("aria-current");
  }
  if (viewer) viewer.show(shown);
  else viewer = new Viewer(element, shown);
}

function heading(record) {
  const reduced = record.divisor > 1 ? `, shown ${record.divisor} times smaller` : "";
  return `${record.name} (${current + 1} of ${records.length}${reduced})`;
}

document.getElementById("list").addEventListener("click", (event) => {
  const button = event.target.closest("button.open");
  if (button) open(records.findIndex((record) => record.number === Number(button.dataset.number)));
});
element.addEventListener("next", () => open(current + 1));
element.addEventListener("previous", () => open(current - 1));
document.addEventListener("keydown", (event) => {
  if (viewer && !element.contains(event.target)) viewer.key(event);
});
open(0);
