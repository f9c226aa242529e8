// Writes lines with the loggers of Node, to files named after them in the directory given.
const { createWriteStream } = require("node:fs");
const directory = process.argv[2];
const ids = { trace_id: "0af7651916cd43dd8448eb211c80319c", span_id: "b7ad6b7169203331" };

const pino = require("pino")(require("pino").destination({ dest: `${directory}/by_pino.log`, sync: true }));
pino.warn({ rows: 3, ...ids }, "scored");
pino.error(new TypeError("bad row"), "failed");

const winston = require("winston");
const log = winston.createLogger({
  format: winston.format.combine(winston.format.timestamp(), winston.format.errors({ stack: true }), winston.format.json()),
  transports: [new winston.transports.Stream({ stream: createWriteStream(`${directory}/by_winston.log`) })],
});
log.warn("scored", { rows: 3, ...ids });
log.error(Object.assign(new TypeError("bad row")));
