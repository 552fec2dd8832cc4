// The MCP Inspector's page on our tools as a picture: node shot.mjs PAGE CHROMIUM FILE. Prints the text of each tool.
import { createRequire } from "node:module";
import process from "node:process";

const [page_, program, file] = process.argv.slice(2);
// From the folder in which it is installed, which is the working folder.
const { chromium } = createRequire(`${process.cwd()}/`)("playwright-core");
const browser = await chromium.launch({ executablePath: program, args: ["--no-sandbox"] });
try {
  const page = await browser.newPage({ viewport: { width: 1280, height: 860 } });
  page.setDefaultTimeout(60_000);
  await page.goto(page_);
  await page.getByRole("switch").first().click({ force: true });
  await page.getByText("Tools", { exact: true }).first().click();
  await page.getByText("List installed models", { exact: true }).first().click();
  await page.getByText("Execute Tool", { exact: true }).click();
  await page.getByText("nomic-embed-text").first().waitFor();
  const tools = await page.getByRole("button").filter({ hasText: "ollama_" }).allInnerTexts();
  await page.screenshot({ path: file });
  process.stdout.write(JSON.stringify(tools.map((tool) => tool.split(/\s*\n\s*/))));
} finally {
  await browser.close();
}
