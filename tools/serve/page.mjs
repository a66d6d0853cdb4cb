// Walks through the page in Chromium, checks it with axe-core, and keeps a picture of each state.
//
//     decap serve &
//     npm install playwright-core axe-core        (outside the repository; NODE_PATH does not reach modules)
//     node tools/serve/page.mjs http://127.0.0.1:8080 PICTURES MODULES [CHROMIUM]
//
// MODULES is the folder that has node_modules.

import { spawnSync } from "node:child_process";
import { mkdirSync, readFileSync } from "node:fs";
import { createRequire } from "node:module";
import { dirname, join, resolve } from "node:path";
import { fileURLToPath } from "node:url";

const [address, pictures, modules, executablePath = "/usr/bin/chromium"] = process.argv.slice(2);
const need = createRequire(join(resolve(modules), "page.js"));
const { chromium } = need("playwright-core");
const axe = readFileSync(need.resolve("axe-core/axe.min.js"), "utf8");
const photos = join(dirname(fileURLToPath(import.meta.url)), "../../examples/photos");
mkdirSync(pictures, { recursive: true });

// A video of three photos, where ffmpeg can make one.
let clip = join(pictures, "clip.webm");
const still = (name) => ["-loop", "1", "-t", "2", "-i", join(photos, name)];
const scaled = (index) => `[${index}]scale=480:360,setsar=1[p${index}]`;
const made = spawnSync("ffmpeg", ["-y", "-v", "error", ...still("cat.webp"), ...still("tram.webp"), ...still("bench.webp"),
  "-filter_complex", `${scaled(0)};${scaled(1)};${scaled(2)};[p0][p1][p2]concat=n=3,fps=10`, "-c:v", "libvpx", "-b:v", "1M", clip]);
if (made.status !== 0) {
  console.log("skipped: a video needs ffmpeg");
  clip = null;
}

let faults = 0;
const expect = (fact, words) => {
  if (!fact) {
    faults += 1;
    console.log(`FAULT: ${words}`);
  }
};

const browser = await chromium.launch({ executablePath, args: ["--no-sandbox"] });
// 720 pixels are a window of 1440 at a zoom of 200 %.
for (const [width, colorScheme] of [[1440, "light"], [390, "light"], [1440, "dark"], [390, "dark"], [720, "light"]]) {
  const context = await browser.newContext({ viewport: { width, height: 900 }, colorScheme, bypassCSP: true });
  const page = await context.newPage();
  page.on("pageerror", (error) => expect(false, `${width}: ${error}`));
  const state = async (name) => {
    await page.screenshot({ path: join(pictures, `${name}-${width}-${colorScheme}.png`), fullPage: true });
    await page.evaluate(axe);
    const { violations } = await page.evaluate(() => window.axe.run());
    for (const it of violations) expect(false, `${name} ${width} ${colorScheme}: ${it.id}: ${it.nodes[0].html}`);
    const wide = await page.evaluate(() => document.documentElement.scrollWidth > innerWidth);
    expect(!wide, `${name} ${width}: wider than the window`);
  };
  const done = () => page.waitForFunction(() => {
    const one = document.getElementById("one");
    return !one.hidden && !one.classList.contains("busy") && document.querySelectorAll("#evidence li").length > 0;
  });
  await page.goto(address);
  await page.waitForFunction(() => document.getElementById("memory-said").textContent.includes("sentences"));
  await state("empty");
  // The answer waits until the picture of the waiting page is taken.
  let answer;
  const taken = new Promise((resolve) => { answer = resolve; });
  await page.route("**/v1/caption", async (route) => {
    await taken;
    await route.continue();
  }, { times: 1 });
  await page.click("#example");
  await page.waitForSelector("#one.first");
  await page.waitForFunction(() => document.getElementById("shown").complete);
  await state("loading");
  answer();
  await done();
  await state("caption");
  const first = page.locator("#evidence button").first();
  const text = await first.locator(".words").textContent();
  // By keyboard: the sentence goes, and the focus stays with it.
  await first.focus();
  await page.keyboard.press("Enter");
  await page.waitForSelector("#evidence .out");
  await done();
  expect((await page.locator("#evidence .out .words").textContent()) === text, "the sentence is not out");
  await state("without");
  await page.click("#restore");
  await page.waitForFunction(() => !document.querySelector("#evidence .out"));
  await page.selectOption("#method", "retrieval");
  await page.waitForFunction(() => document.querySelectorAll("#evidence li").length === 1);
  await page.selectOption("#method", "projection");
  await page.waitForFunction(() => document.querySelectorAll("#evidence li").length > 1);
  await page.click("#teach summary");
  await done();
  await state("teach");
  await page.fill("#lesson-name", `home ${width} ${colorScheme}`);
  await page.fill("#lesson-text", "our cat Tom asleep on the sofa\nthe tram to work\na boat on the lake");
  await page.click("#lesson-go");
  await page.waitForFunction(() => document.querySelector("#evidence .words")?.textContent.includes("Tom"));
  await done();
  expect(await page.locator("#before").isVisible(), "the caption before is not shown");
  await state("taught");
  await page.click("#forget");
  await page.waitForFunction(() => document.getElementById("memory").value === "model");
  // A decoder is trained to its end in two windows, and stopped in the others.
  await page.fill("#lesson-name", `words ${width} ${colorScheme}`);
  await page.fill("#lesson-text", ["sofa", "wall", "tram", "boat", "roof", "mat", "bed", "shelf", "chair", "desk"]
    .map((place) => `our cat Tom asleep on the ${place}\nTom and the old ${place}`).join("\n"));
  await page.click("#train-go");
  await page.waitForSelector("#curve:not([hidden])", { timeout: 120000 });
  expect((await page.locator("#curve-said").textContent()).startsWith("Loss from"), "the curve is not told");
  await state("training");
  if (`${width} ${colorScheme}` !== "1440 light" && `${width} ${colorScheme}` !== "390 dark") {
    await page.click("#training-stop");
    await page.waitForFunction(() => document.getElementById("training-said").textContent.startsWith("Stopped"), null, { timeout: 60000 });
  } else {
    await page.waitForFunction(() => document.getElementById("training-said").textContent.startsWith("Done"), null, { timeout: 240000 });
    await page.waitForFunction(() => document.getElementById("facts").textContent.includes("Model words"));
    await done();
    await state("trained");
    await page.click("#model-forget");
    await page.waitForFunction(() => document.getElementById("models").hidden);
    await done();
  }
  if (clip) {
    await page.setInputFiles("#files", clip);
    await page.waitForFunction(() => document.querySelectorAll("#segments li").length > 1, null, { timeout: 60000 });
    await done();
    await page.locator("#segments button").last().click();
    await page.waitForFunction(() => document.querySelector("#segments li:last-child [aria-current]"));
    await state("video");
  }
  await page.setInputFiles("#files", ["cat.webp", "bear.webp", "bench.webp"].map((name) => join(photos, name)));
  await page.waitForFunction(() => document.querySelectorAll("#rows tr").length === 3);
  await state("table");
  const [csv] = await Promise.all([page.waitForEvent("download"), page.click("#csv")]);
  const lines = readFileSync(await csv.path(), "utf8").trim().split("\r\n");
  expect(lines.length === 4 && lines[0] === "path,caption,error,score", `the table is ${lines}`);
  await page.setInputFiles("#files", { name: "broken.jpg", mimeType: "image/jpeg", buffer: Buffer.from("no photo") });
  await page.waitForSelector("#error:not([hidden])");
  await page.waitForSelector("#unshown:not([hidden])");
  await state("error");
  await page.click("#again");
  expect(await page.locator("#empty").isVisible(), "the page does not start over");
  await page.goto(`${address}/docs`);
  await page.waitForSelector("article");
  await state("docs");
  await page.route("**/v1/memories", (route) => route.fulfill({ status: 401, json: {} }), { times: 1 });
  await page.goto(address);
  await page.waitForSelector("#key:visible");
  await state("key");
  await page.fill("#key", "any");
  await page.press("#key", "Tab");
  await page.waitForSelector("#empty:not([hidden])", { timeout: 5000 });
  expect(await page.locator("#error").isHidden(), "the error stays when the key is right");
  await context.close();
}
// Once more with the policy in force: nothing of the page is refused.
const page = await browser.newPage();
page.on("console", (message) => expect(message.type() !== "error", message.text()));
await page.goto(`${address}/docs`);
await page.waitForSelector("article");
await page.goto(address);
await page.setInputFiles("#files", join(photos, "cat.webp"));
await page.waitForSelector("#evidence button");
await browser.close();
console.log(faults ? `${faults} faults` : "all well");
process.exit(faults ? 1 : 0);
