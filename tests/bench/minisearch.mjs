// Ranks tools by plain MiniSearch: {tools, questions} on stdin, the ids found for each question on stdout.
import { createRequire } from "node:module";
import { readFileSync } from "node:fs";

const MiniSearch = createRequire(process.argv[2] + "/")("minisearch");
const { tools, questions } = JSON.parse(readFileSync(0, "utf8"));
const fields = ["name", "title", "description", "server"];
const search = new MiniSearch({ fields, searchOptions: { boost: { name: 3, title: 2 }, fuzzy: 0.2, prefix: true, combineWith: "OR" } });
search.addAll(tools);
const found = questions.map((question) => search.search(question).slice(0, 10).map((hit) => hit.id));
process.stdout.write(JSON.stringify(found));
