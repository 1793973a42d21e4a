// http_node.js — the peers in Node: GET /fast, GET /cpu?n=N and POST /xor?k=K, computed on the event loop or by workers.
//
//   node http_node.js PORT inline|piscina|transfer [PISCINA'S FOLDER]
//
// piscina: its worker pool, one worker a CPU. transfer: plain worker_threads, one a CPU, and the ArrayBuffer of a body is transferred both ways.
'use strict';
const http = require('http');
const os = require('os');
const workers = require('worker_threads');

function countPrimes(below) {
    let count = 0;
    for (let number = 2; number < below; number++) {
        let isPrime = number === 2 || number % 2 === 1;
        for (let divisor = 3; isPrime && divisor * divisor <= number; divisor += 2)
            isPrime = number % divisor !== 0;
        count += isPrime ? 1 : 0;
    }
    return count;
}

function xor(bytes, key) {
    const wide = new Uint32Array(bytes.buffer, bytes.byteOffset, bytes.length >> 2);   // four at once: as fast as it gets here
    const wideKey = (key * 0x01010101) >>> 0;
    for (let i = 0; i < wide.length; i++)
        wide[i] ^= wideKey;
    for (let i = wide.length * 4; i < bytes.length; i++)
        bytes[i] ^= key;
    return bytes;
}

function compute(job) {
    return job.bytes ? xor(job.bytes, job.key) : countPrimes(job.n);
}

if (!workers.isMainThread) {
    if (workers.workerData && workers.workerData.isTransfer) {
        workers.parentPort.on('message', (job) => {
            const result = compute(job);
            workers.parentPort.postMessage({id: job.id, result}, job.bytes ? [result.buffer] : []);
        });
    }
    module.exports = (job) => {
        const result = compute(job);
        return job.bytes ? require(job.piscina).move(result) : result;
    };
    return;
}

function transferPool() {
    const threads = [], pending = new Map();
    let next = 0;
    for (let i = 0; i < os.availableParallelism(); i++) {
        const thread = new workers.Worker(__filename, {workerData: {isTransfer: true}});
        thread.on('message', (message) => {
            pending.get(message.id)(message.result);
            pending.delete(message.id);
        });
        threads.push(thread);
    }
    return (job) => new Promise((resolve) => {
        job.id = next++;
        pending.set(job.id, resolve);
        threads[job.id % threads.length].postMessage(job, job.bytes ? [job.bytes.buffer] : []);
    });
}

function piscinaPool(folder) {
    const {Piscina} = require(folder);
    const count = os.availableParallelism();
    const pool = new Piscina({filename: __filename, minThreads: count, maxThreads: count});
    return (job) => {
        job.piscina = folder;
        return pool.run(job, job.bytes ? {transferList: [job.bytes.buffer]} : {});
    };
}

const [port, mode, folder] = process.argv.slice(2);
const run = mode === 'inline' ? async (job) => compute(job) : mode === 'transfer' ? transferPool() : piscinaPool(folder);

// The body in memory of its own, which can be transferred.
function receive(request, done) {
    const bytes = new Uint8Array(new ArrayBuffer(Number(request.headers['content-length'])));
    let filled = 0;
    request.on('data', (chunk) => {
        bytes.set(chunk, filled);
        filled += chunk.length;
    });
    request.on('end', () => done(bytes));
}

function answer(response, type, body) {
    response.writeHead(200, {'Content-Type': type, 'Content-Length': body.length});
    response.end(body);
}

http.createServer((request, response) => {
    const url = new URL(request.url, 'http://localhost');
    if (url.pathname === '/fast')
        answer(response, 'text/plain', 'fast\n');
    else if (url.pathname === '/cpu')
        run({n: Number(url.searchParams.get('n'))}).then((count) => answer(response, 'text/plain', count + '\n'));
    else
        receive(request, (bytes) => run({bytes, key: Number(url.searchParams.get('k'))}).then(
            (result) => answer(response, 'application/octet-stream', Buffer.from(result.buffer, result.byteOffset, result.length))));
}).listen(Number(port), '127.0.0.1', 1024);
