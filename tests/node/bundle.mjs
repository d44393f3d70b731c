// Prints a package of CommonJS modules as one script for a page, where it is then known by a name: node bundle.mjs PACKAGE NAME
import { readFileSync } from "node:fs";
import { createRequire, isBuiltin } from "node:module";

const [entry, name] = process.argv.slice(2);
const modules = {};
function take(file) {
  if (file in modules) return;
  const text = (file.endsWith(".json") ? "module.exports = " : "") + readFileSync(file, "utf8");
  const resolve = createRequire(file).resolve;
  const wanted = [...text.matchAll(/\brequire\(["']([^"']+)["']\)/g)].map((match) => match[1]).filter((path) => !isBuiltin(path));
  modules[file] = { text, needs: Object.fromEntries(wanted.map((path) => [path, resolve(path)])) };
  Object.values(modules[file].needs).forEach(take);
}
const first = createRequire(import.meta.url).resolve(entry);
take(first);

const parts = Object.entries(modules).map(
  ([file, { text, needs }]) => `${JSON.stringify(file)}: [${JSON.stringify(needs)}, function (module, exports, require) {${text}\n}]`,
);
console.log(`globalThis[${JSON.stringify(name)}] = (() => {
  const modules = {${parts.join(",\n")}}, loaded = {};
  const load = (file) => {
    if (!loaded[file]) {
      const [needs, run] = modules[file];
      const module = (loaded[file] = { exports: {} });
      run(module, module.exports, (path) => load(needs[path]));
    }
    return loaded[file].exports;
  };
  return load(${JSON.stringify(first)});
})();`);
