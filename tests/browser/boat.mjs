// Opens lifeboat files in a real Chromium that has no network and prints what each page said as one JSON object.
//   node boat.mjs <task file>
// The task: {executable, files: [{name, path, script, axe, routes, widths, shots: folder, steps, more, hostile, patience: ms}]}
import { readFileSync, writeSync } from "node:fs";
import { createRequire } from "node:module";
import { pathToFileURL } from "node:url";
import { chromium } from "playwright-core";

const task = JSON.parse(readFileSync(process.argv[2], "utf8"));
const axeSource = readFileSync(createRequire(import.meta.url).resolve("axe-core/axe.min.js"), "utf8");
const FLAGS = [
  "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking",
  "--disable-component-update", "--disable-sync",
];
const RULES = ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa"];
const seen = {};

const browser = await chromium.launch({ executablePath: task.executable, headless: true, args: FLAGS });
for (const file of task.files) {
  const context = await browser.newContext({ viewport: { width: 1280, height: 900 }, offline: true, javaScriptEnabled: file.script !== false });
  const page = await context.newPage();
  const saw = { errors: [], outside: [], dialogs: 0, axe: [] };
  page.on("dialog", (dialog) => { saw.dialogs += 1; dialog.dismiss(); });
  page.on("console", (line) => { if (line.type() === "error") saw.errors.push(line.text()); });
  page.on("pageerror", (error) => saw.errors.push(String(error)));
  page.on("request", (request) => { if (!/^(file|data|blob):/.test(request.url())) saw.outside.push(request.url()); });
  const debug = await context.newCDPSession(page);
  await debug.send("Performance.enable", { timeDomain: "threadTicks" });
  const began = Date.now();
  await page.goto(pathToFileURL(file.path).href, { waitUntil: "commit" });
  await page.waitForLoadState("load");
  if (file.script !== false) {
    // The program stands in the page and has begun when all is loaded; where it has not, it never will.
    const isOver = () => document.documentElement.dataset.checked || /Nothing here is checked yet/.test(document.getElementById("said")?.innerText ?? "");
    await page.waitForFunction(isOver, null, { timeout: file.patience ?? 60_000 }).catch(() => {});
  }
  saw.wall = Date.now() - began;
  const { metrics } = await debug.send("Performance.getMetrics");
  saw.cpu = Object.fromEntries(metrics.filter(({ name }) => /^(ProcessTime|ThreadTime|TaskDuration|ScriptDuration)$/.test(name)).map(({ name, value }) => [name, value]));
  Object.assign(saw, await page.evaluate(() => ({
    checked: document.documentElement.dataset.checked ?? null,
    milliseconds: Number(document.documentElement.dataset.milliseconds ?? NaN),
    said: document.getElementById("said")?.innerText ?? "",
    problems: [...document.querySelectorAll("#problems li")].map((each) => each.innerText),
    posts: document.querySelectorAll(".post").length,
    facts: document.querySelector(".facts-only")?.innerText ?? null,
    text: document.body.innerText.length,
  })).catch((error) => ({ checked: null, failed: String(error) })));
  if (file.steps) saw.steps = await walk(page);
  if (file.more) saw.more = await furtherBack(page);
  if (file.axe) {
    await page.evaluate(axeSource);
    for (const route of file.routes ?? [""]) {
      await page.evaluate((hash) => { location.hash = hash; }, route);
      for (const width of file.widths ?? [1280, 360]) {
        await page.setViewportSize({ width, height: 900 });
        for (const colorScheme of ["light", "dark"]) {
          await page.emulateMedia({ colorScheme, reducedMotion: "reduce" });
          const { violations } = await page.evaluate((rules) => axe.run(document, { runOnly: rules }), RULES);
          const overflow = await page.evaluate(() => document.documentElement.scrollWidth - innerWidth);
          saw.axe.push({
            route, width, colorScheme, overflow,
            violations: violations.map((one) => `${one.id}: ${one.nodes.map((node) => node.target.join(" ")).slice(0, 4)}`),
          });
          if (file.shots) await page.screenshot({ path: `${file.shots}/${file.name}${route.replaceAll("/", "_")}-${width}-${colorScheme}.png` });
        }
      }
    }
    if (file.shots) await page.pdf({ path: `${file.shots}/${file.name}.pdf` }).catch(() => {});
  }
  if (file.hostile) {
    saw.hostile = await page.evaluate(() => {
      for (const element of document.querySelectorAll("#page *, #account *")) {
        for (const type of ["mouseover", "focus", "error", "load", "toggle", "pointerenter", "animationstart"]) {
          element.dispatchEvent(new Event(type, { bubbles: true }));
        }
      }
      const inside = ":is(script,iframe,object,embed,style,svg:not(.i),math,video,audio,base,link,meta)";
      return {
        ran: window.ran ?? 0,
        foreign: document.querySelectorAll(`.post ${inside}, #account ${inside}`).length,
        unseen: /[\u0000-\u0008\u200b\u200e\u200f\u202a-\u202e\u2066-\u2069]/.test(document.getElementById("account").textContent),
        named: [...document.querySelectorAll("#account a")].map((a) => [a.textContent, a.href]),
        links: [...document.querySelectorAll(".post .body a, #account a")].filter((a) => !/^https?:$/.test(a.protocol)).length,
      };
    });
  }
  await context.close();
  seen[file.name] = saw;
}
await browser.close();
writeSync(1, JSON.stringify(seen));

// A person with a keyboard: to the content, a search, a post, back.
async function walk(page) {
  const steps = {};
  await page.keyboard.press("Tab");
  steps.first = await page.evaluate(() => document.activeElement.textContent);
  await page.fill("#words", "needle");
  await page.waitForFunction(() => document.getElementById("found").textContent);
  steps.found = await page.textContent("#found");
  steps.shown = await page.locator(".post .body").allInnerTexts();
  await page.focus(".post time a");
  await page.keyboard.press("Enter");
  await page.waitForSelector(".post.focus");
  steps.focus = await page.textContent(".post.focus .body");
  await page.click(".post.focus .history summary").catch(() => {});
  steps.versions = await page.locator(".post.focus .versions li .body").allInnerTexts();
  await page.fill("#words", "");
  await page.evaluate(() => { location.hash = "#/all"; });
  await page.waitForFunction(() => !document.querySelector(".post.focus"));
  // On paper everything is unfolded and whole; afterwards it is as before.
  const looks = () => page.evaluate(() => [document.querySelectorAll("details.cw[open]").length, document.querySelectorAll(".more").length]);
  await page.evaluate(() => dispatchEvent(new Event("beforeprint")));
  steps.printed = await looks();
  await page.evaluate(() => dispatchEvent(new Event("afterprint")));
  steps.after = await looks();
  return steps;
}

// Further back in a long list, by the keyboard; how many posts came, and which is in focus.
async function furtherBack(page) {
  const before = await page.locator(".post").count();
  await page.focus(".older button");
  await page.keyboard.press("Enter");
  await page.waitForFunction((count) => document.querySelectorAll(".post").length > count, before);
  return [await page.locator(".post").count() - before, await page.evaluate(() => [...document.querySelectorAll(".post")].indexOf(document.activeElement))];
}
