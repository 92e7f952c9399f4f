// The article's HTTP echo on Node's own http module, one request a connection. node jsnode.js PORT BACKLOG
"use strict";
const http = require("http");

const server = http.createServer((request, response) => {
  const pieces = [];
  request.on("data", (piece) => pieces.push(piece));
  request.on("end", () => {
    const body = Buffer.concat(pieces).toString();
    console.log("version=", request.httpVersion);
    console.log("uri=", request.url);
    console.log("method=", request.method);
    console.log("headers=", Object.keys(request.headers).join());
    console.log("body=", body);
    const answer = Buffer.from("echo:" + body);
    response.writeHead(200, { "Content-Length": answer.length, Connection: "close" });
    response.end(answer);
  });
});
server.listen({ port: Number(process.argv[2]), host: "127.0.0.1", backlog: Number(process.argv[3]) });
