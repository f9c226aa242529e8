import fs from "node:fs";
fs.readFileSync("/models/none");
