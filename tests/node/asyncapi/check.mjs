// Prints what AsyncAPI's own parser finds in a document, one finding a line; the first number is its severity (0: an error).
import { readFileSync } from "node:fs";
import { createRequire } from "node:module";

const [packages, file] = process.argv.slice(2);
const { Parser } = createRequire(`${packages}/`)("@asyncapi/parser");
const { document, diagnostics } = await new Parser().parse(readFileSync(file, "utf8"));
for (const found of diagnostics) {
  console.log(found.severity, found.code, found.path.join("."), found.message);
}
for (const message of document?.allMessages() ?? []) {
  console.log("message", message.name());
}
