// Drives a real Chromium through the page and prints what it saw as one JSON object.
//   node drive.mjs <task file>
// The task: {executable, address, compose: text, hostile: [path], axe: [{name, path, fill}], door: true, shots: folder, shoot: [name]}
import { readFileSync, writeSync } from "node:fs";
import { createRequire } from "node:module";
import { chromium } from "playwright-core";

const task = JSON.parse(readFileSync(process.argv[2], "utf8"));
const axeSource = readFileSync(createRequire(import.meta.url).resolve("axe-core/axe.min.js"), "utf8");
const FLAGS = [
  "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking",
  "--disable-component-update", "--disable-sync",
];
const RULES = ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa"];
const seen = { errors: [], dialogs: 0, outside: [], axe: [], hostile: [] };

const browser = await chromium.launch({ executablePath: task.executable, headless: true, args: FLAGS });
const context = await browser.newContext({ viewport: { width: 1280, height: 900 } });
const page = await context.newPage();
const origin = new URL(task.address).origin;
page.on("dialog", (dialog) => { seen.dialogs += 1; dialog.dismiss(); });
page.on("console", (line) => { if (line.type() === "error") seen.errors.push(line.text()); });
page.on("pageerror", (error) => seen.errors.push(String(error)));
page.on("request", (request) => { if (!request.url().startsWith(origin)) seen.outside.push(request.url()); });

// The door first, then the address pasted over it: the browser loads nothing anew, and it must open all the same.
await page.goto(origin);
await page.goto(task.address);
await page.waitForSelector("#main");
seen.entered = page.url();
seen.cookies = (await context.cookies()).map(({ name, httpOnly, sameSite }) => ({ name, httpOnly, sameSite }));

if (task.compose) {
  await page.fill("#compose textarea", task.compose);
  await page.click("#compose button");
  await page.waitForSelector(".post");
  seen.first = await page.textContent(".post .body");
  await page.focus(".post");
  await page.keyboard.press("r");
  await page.waitForURL(/\/post\//);
  await page.fill("#compose textarea", `${task.compose} (an answer)`);
  await page.keyboard.press("Control+Enter");
  await page.waitForFunction(() => document.querySelectorAll(".post").length === 2);
  seen.thread = await page.locator(".post .body").allTextContents();

  // A second page without script publishes by the plain form; the first, at home, is told.
  await page.goto(origin + "/");
  const quiet = await browser.newContext({ javaScriptEnabled: false, storageState: await context.storageState() });
  const plain = await quiet.newPage();
  await plain.goto(origin + "/write");
  await plain.fill("#compose textarea", "Without script.");
  await plain.click("#compose button");
  await plain.waitForSelector(".post");
  seen.plain = await plain.textContent(".post .body");
  await page.waitForSelector("#pill:not([hidden])");
  seen.pill = await page.textContent("#pill-text");
  await page.keyboard.press("?");
  seen.help = await page.isVisible("#keys");
}

for (const path of task.hostile ?? []) {
  await page.goto(origin + path);
  // Give every handler a payload might have planted its chance: hover, focus and open what there is.
  seen.hostile.push(await page.evaluate(() => {
    for (const element of document.querySelectorAll(".post *")) {
      for (const type of ["mouseover", "focus", "error", "load", "toggle", "pointerenter", "animationstart"]) {
        element.dispatchEvent(new Event(type, { bubbles: true }));
      }
    }
    return {
      ran: window.ran ?? 0,
      posts: document.querySelectorAll(".post").length,
      foreign: document.querySelectorAll(".post :is(script,iframe,object,embed,style,form,input,svg:not(.i),math,video,audio,base,link,meta)").length,
      links: [...document.querySelectorAll(".post .body a")].filter((a) => !/^https?:$/.test(a.protocol)).length,
    };
  }));
}

if (task.door) {
  await context.clearCookies();
  task.axe = [{ name: "door", path: "/" }];
}
for (const { name, path, fill } of task.axe ?? []) {
  await page.goto(origin + path);
  if (fill) {
    // A page that only a form leads to: what is typed where, and the button.
    await page.fill(fill.field, fill.text);
    await Promise.all([page.waitForNavigation(), page.click(fill.button)]);
  }
  // Through the debugger, not the page: our policy lets no foreign script in.
  await page.evaluate(axeSource);
  for (const width of [1280, 390]) {
    await page.setViewportSize({ width, height: 900 });
    for (const colorScheme of ["light", "dark"]) {
      await page.emulateMedia({ colorScheme, reducedMotion: "reduce" });
      const { violations } = await page.evaluate((rules) => axe.run(document, { runOnly: rules }), RULES);
      const overflow = await page.evaluate(() => document.documentElement.scrollWidth - innerWidth);
      seen.axe.push({
        name, width, colorScheme, overflow,
        violations: violations.map((one) => `${one.id}: ${one.nodes.map((node) => node.target.join(" ")).slice(0, 4)}`),
      });
      if (task.shots && (task.shoot ?? [name]).includes(name)) {
        await page.screenshot({ path: `${task.shots}/${name}-${width}-${colorScheme}.png`, fullPage: Boolean(task.full) });
      }
    }
  }
}
await browser.close();
writeSync(1, JSON.stringify(seen));
