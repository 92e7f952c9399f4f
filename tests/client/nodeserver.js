// Node's http, as it comes. `node nodeserver.js PORT`; what each path does stands beside it.
"use strict";
const http = require("node:http");
const { createHash } = require("node:crypto");

const bodyOf = async (request) => {
  const pieces = [];
  for await (const piece of request) pieces.push(piece);
  return Buffer.concat(pieces);
};
const wait = (milliseconds) => new Promise((resolve) => setTimeout(resolve, milliseconds));

const paths = {
  // What came.
  async "/echo"(request, response) {
    const body = await bodyOf(request);
    response.setHeader("Content-Type", "application/json");
    response.end(
      JSON.stringify({
        method: request.method,
        url: request.url,
        headers: request.rawHeaders,
        length: body.length,
        sha256: createHash("sha256").update(body).digest("hex"),
        text: body.length < 1000 ? body.toString() : null,
      }),
    );
  },
  // What comes, as it comes.
  "/pipe"(request, response) {
    request.pipe(response);
  },
  // In so many chunks of so many bytes.
  async "/chunks"(request, response, query) {
    const size = Number(query.get("size"));
    for (let number = 0; number < Number(query.get("count")); number++) {
      if (!response.write(Buffer.alloc(size, number % 256))) await new Promise((resolve) => response.once("drain", resolve));
    }
    response.end();
  },
  // Behind a chunked body.
  "/trailers"(request, response) {
    response.writeHead(200, { Trailer: "Digest, X-Count" });
    response.write("one");
    response.write("two");
    response.addTrailers({ Digest: "of it all", "X-Count": "2" });
    response.end();
  },
  // The head after so many milliseconds, the body after as many again.
  async "/slow"(request, response, query) {
    await wait(Number(query.get("ms")));
    response.flushHeaders();
    await wait(Number(query.get("ms")));
    response.end("at last");
  },
  // 102, 103 twice, and 200.
  "/hints"(request, response) {
    response.writeProcessing();
    response.writeEarlyHints({ link: "</style.css>; rel=preload; as=style" });
    response.writeEarlyHints({ link: "</script.js>; rel=preload; as=script", "x-more": "yes" });
    response.end("hinted");
  },
  "/close"(request, response) {
    response.setHeader("Connection", "close");
    response.end("the last one");
  },
  // A body until the end of the connection, as HTTP/1.0 has it.
  "/until-close"(request, response) {
    request.socket.end("HTTP/1.0 200 OK\r\nContent-Type: text/plain\r\n\r\n" + "until the end\n".repeat(5000));
  },
  // The connection ends inside the body: with a length, in chunks; by a FIN, by a reset.
  async "/cut"(request, response, query) {
    if (query.has("length")) response.setHeader("Content-Length", "1000");
    response.write("half of it");
    await wait(20);
    if (query.has("reset")) request.socket.resetAndDestroy();
    else request.socket.destroy();
  },
  // No answer at all.
  "/drop"(request) {
    request.socket.destroy();
  },
  "/reset"(request) {
    request.socket.resetAndDestroy();
  },
  // Before the body has come, which nobody reads.
  "/early"(request, response, query) {
    response.statusCode = Number(query.get("status"));
    response.end("decided");
  },
  // A second answer, which nobody has asked for.
  "/twice"(request, response) {
    response.end("the answer");
    request.socket.write("HTTP/1.1 200 OK\r\nContent-Length: 6\r\n\r\nforged");
  },
  "/status"(request, response, query) {
    response.statusCode = Number(query.get("is"));
    response.statusMessage = query.get("reason") ?? "";
    response.end();
  },
  "/redirect"(request, response, query) {
    response.writeHead(Number(query.get("status")), { Location: query.get("to") });
    response.end("go there");
  },
  // Fields that come twice, that are empty, and that are not ASCII.
  "/fields"(request, response) {
    response.setHeader("Set-Cookie", ["a=1", "b=2"]);
    response.setHeader("X-Empty", "");
    response.setHeader("X-Latin", "caf\u00e9");
    response.end();
  },
};

// Node looks at its deadlines every so many milliseconds.
const server = http.createServer({ connectionsCheckingInterval: 50 }, async (request, response) => {
  const url = new URL(request.url, "http://localhost");
  try {
    await paths[url.pathname](request, response, url.searchParams);
  } catch (error) {
    // Whose request is cut, that reading its body fails, is what several paths are for.
    if (error.code !== "ECONNRESET") throw error;
  }
});
server.on("checkContinue", (request, response) => {
  if (request.url === "/echo") {
    response.writeContinue();
    server.emit("request", request, response);
  } else {
    response.writeHead(413, { Connection: "close" });
    response.end("not that");
  }
});
server.on("checkExpectation", (request, response) => {
  response.statusCode = 417;
  response.end();
});
// Line by line, in capital letters.
server.on("upgrade", (request, socket, head) => {
  if (request.url !== "/upgrade") return socket.end("HTTP/1.1 426 Upgrade Required\r\nContent-Length: 0\r\n\r\n");
  socket.write("HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: shout\r\n\r\nwelcome ");
  if (head.length) socket.write(head.toString().toUpperCase());
  socket.on("data", (data) => socket.write(data.toString().toUpperCase()));
  socket.on("end", () => socket.end("good bye"));
  socket.on("error", () => {});
});
server.on("clientError", (error, socket) => {
  if (error.code === "ERR_HTTP_REQUEST_TIMEOUT") socket.end("HTTP/1.1 408 Request Timeout\r\nConnection: close\r\n\r\n");
  else socket.destroy();
});
server.keepAliveTimeout = 500;
server.requestTimeout = 800;
server.headersTimeout = 700;
server.listen({ host: "127.0.0.1", port: Number(process.argv[2]) });
