// Workers, a server on the loopback, a watched file, children: what test suites of node do.
import { execFileSync } from "node:child_process";
import { once } from "node:events";
import { watch, writeFileSync } from "node:fs";
import http from "node:http";
import { isMainThread, parentPort, Worker, workerData } from "node:worker_threads";

async function workers() {
	const all = [1, 2, 3, 4].map(n => new Worker(new URL(import.meta.url), { workerData: n }));
	const answers = await Promise.all(all.map(async worker => (await once(worker, "message"))[0]));
	return answers.join(" ");
}

async function server() {
	const listening = http.createServer((request, response) => response.end(`you asked ${request.url}`)).listen(0, "127.0.0.1");
	await once(listening, "listening");
	const answer = await fetch(`http://127.0.0.1:${listening.address().port}/hello`);
	const text = await answer.text();
	listening.closeAllConnections?.();
	listening.close();
	return text;
}

async function watched() {
	const watcher = watch(".");
	const seen = once(watcher, "change");
	writeFileSync("fresh", "x");
	const [, name] = await seen;
	watcher.close();
	return name;
}

if (isMainThread) {
	console.log("workers", await workers());
	console.log("server", await server());
	console.log("watched", await watched());
	console.log("child", execFileSync("echo", ["hello"], { encoding: "utf8" }).trim());
} else {
	parentPort.postMessage(workerData * workerData);
}
