// Which queries Grafana's published grammar of TraceQL takes: reads a JSON list, writes a JSON object. See grammar.py.
const { parser } = require('@grafana/lezer-traceql');
const queries = JSON.parse(require('fs').readFileSync(0, 'utf8'));
const taken = {};
for (const query of queries) {
  let right = true;
  parser.parse(query).iterate({ enter: (node) => { if (node.type.isError) right = false; } });
  taken[query] = right;
}
process.stdout.write(JSON.stringify(taken, null, 1) + '\n');
