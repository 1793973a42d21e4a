#!/usr/bin/env node
// Node's worker_threads: an ArrayBuffer there and back; transferred, or cloned when the program's name says so.
'use strict';
const { Worker, isMainThread, parentPort, workerData } = require('worker_threads');
const path = require('path');
const clones = isMainThread ? path.basename(process.argv[1]).includes('clone') : workerData;
const send = (to, bytes) => (clones ? to.postMessage(bytes) : to.postMessage(bytes, [bytes.buffer]));
if (!isMainThread) {
  parentPort.on('message', (bytes) => {
    bytes[0]++;
    send(parentPort, bytes);
  });
  parentPort.postMessage(null);
} else {
  const args = process.argv.slice(2);
  const rounds = args.includes('--smoke') ? 50 : 5000;
  const size = { '4KiB': 4000, '1MiB': 1 << 20, '64MiB': 64 << 20 }[args[args.indexOf('--variant') + 1]];
  const samples = [];
  let sum = 0, begin, first;
  const worker = new Worker(__filename, { workerData: clones });
  const next = (bytes) => {
    begin = process.hrtime.bigint();
    send(worker, bytes);
  };
  worker.on('message', (bytes) => {
    if (!bytes) {
      first = process.hrtime.bigint();
      return next(new Uint8Array(size));
    }
    samples.push(Number(process.hrtime.bigint() - begin) / 1000);
    sum += bytes[0];
    if (samples.length < rounds) return next(bytes);
    const mean = Number(process.hrtime.bigint() - first) / rounds / 1000;
    samples.sort((a, b) => a - b);
    console.log(`mean_us ${mean}`);
    console.log(`p50_us ${samples[rounds >> 1]}`);
    console.log(`checksum ${sum.toString(16).padStart(16, '0')}`);
    process.exit(0);
  });
}
