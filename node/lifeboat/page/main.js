// Takes the data out of the page, checks it, shows what passed.

const DATA_TYPE = "application/octet-stream";

// An element counts only if it is exactly what docs/lifeboat.md says; the same is asked by node/lifeboat/reading.py.
function dataOf(id) {
  const element = find(id);
  return element?.tagName === "SCRIPT" && element.type === DATA_TYPE ? element : null;
}

function fileInPage() {
  const element = dataOf("contents");
  const contents = element && { text: element.textContent, digest: element.dataset.sha256 };
  const pieces = [];
  const ids = [...document.querySelectorAll(`script[type="${DATA_TYPE}"][id^="piece-"]`)].map((each) => Number(each.id.slice(6)));
  const last = Math.max(0, ...ids.filter((number) => Number.isInteger(number) && number <= MAX_PIECES));
  for (let number = 1; number <= last; number += 1) pieces.push(dataOf(`piece-${number}`)?.textContent ?? null);
  return { contents, pieces };
}

async function main() {
  const began = performance.now();
  if (typeof DecompressionStream === "undefined") {
    find("said").textContent = "This browser is too old to unpack this file. A browser from 2023 on can, and so can: unhush verify FILE";
    return;
  }
  find("said").textContent = "Checking every signature in this file…";
  const found = await checkFile(fileInPage(), showProgress);
  const { report } = found;
  find("progress").hidden = true;
  showVerdict(report);
  if (found.state) {
    const account = new Account(found);
    document.title = `${account.name || "A lifeboat"} · unhush lifeboat`;
    showAccount(account, report);
    showRail(account, report);
    new Pages(account);
  }
  document.documentElement.dataset.checked = report.ok ? "good" : "bad";
  document.documentElement.dataset.milliseconds = String(Math.round(performance.now() - began));
}

main().catch((problem) => {
  find("said").textContent = `The check stopped: ${problem.message}. Trust nothing here but: unhush verify FILE`;
  document.documentElement.dataset.checked = "stopped";
});
