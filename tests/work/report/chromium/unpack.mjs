// Unpacks Chromium, its libraries and fonts into TMPDIR; prints where its program is.
import chromium from "@sparticuz/chromium";

console.log(await chromium.executablePath());
