// Node's own http module. node benchmarks/peers/node.js PORT BACKLOG KEEP_ALIVE
"use strict";
const http = require("http");

function answer(response, body) {
  response.writeHead(200, { "Content-Type": "text/plain", "Content-Length": body.length });
  response.end(body);
}

const server = http.createServer((request, response) => {
  if (request.method !== "POST") {
    answer(response, Buffer.from("path:" + request.url.split("?", 1)[0], "latin1"));
    return;
  }
  const pieces = [Buffer.from("echo:")];
  request.on("data", (piece) => pieces.push(piece));
  request.on("end", () => answer(response, Buffer.concat(pieces)));
});
server.keepAliveTimeout = Number(process.argv[4]) * 1000;
server.listen({ port: Number(process.argv[2]), host: "127.0.0.1", backlog: Number(process.argv[3]) });
