import assert from "node:assert/strict";
import { existsSync, readFileSync, readdirSync } from "node:fs";
import { dirname, join, resolve } from "node:path";
import { test } from "node:test";
import { fileURLToPath } from "node:url";

const ROOT = resolve(dirname(fileURLToPath(import.meta.url)), "../..");
const OWN = ["static/realtime", "static/pages"].flatMap((folder) =>
  readdirSync(join(ROOT, folder)).map((name) => join(folder, name)),
);
const text = (file) => readFileSync(join(ROOT, file), "utf8");

test("own modules are .js, the only files whose imports get hashed names", () => {
  assert.ok(OWN.length > 10);
  assert.deepEqual(OWN.filter((file) => !file.endsWith(".js")), []);
});

test("every import names a file that exists and ends with a semicolon, or it would keep its unhashed name", () => {
  for (const file of OWN) {
    for (const [line, path] of text(file).matchAll(/^(?:import|export)\b[^;]*?\bfrom "([^"]+)".*$/gm)) {
      assert.match(line, /";$/, `${file}: ${line}`);
      assert.ok(existsSync(resolve(ROOT, dirname(file), path)), `${file}: ${path}`);
    }
    for (const [, path] of text(file).matchAll(/import\("([^"]+)"\)/g)) {
      assert.ok(existsSync(resolve(ROOT, dirname(file), path)), `${file}: ${path}`);
    }
  }
});

test("text only ever goes in as text, and nothing is styled by an attribute", () => {
  for (const file of OWN) {
    assert.doesNotMatch(text(file), /innerHTML|outerHTML|insertAdjacentHTML|document\.write|setAttribute\("style"|\beval\(|new Function/, file);
  }
});

test("templates have no inline script, style or handler, which the policy would stop", () => {
  const templates = readdirSync(join(ROOT, "templates"), { recursive: true }).filter((name) => name.endsWith(".html"));
  assert.ok(templates.length > 5);
  for (const name of templates) {
    const html = text(join("templates", name));
    assert.doesNotMatch(html, /<script(?![^>]*\bsrc=)|<style|\sstyle=|\son[a-z]+=/i, name);
  }
});

test("store.js and client.js never touch the DOM", () => {
  assert.doesNotMatch(text("static/realtime/store.js"), /document|window|location/);
  assert.doesNotMatch(text("static/realtime/client.js"), /document\.(query|create|get|body)/);
});
