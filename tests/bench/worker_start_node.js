#!/usr/bin/env node
// Node's worker_threads: from new Worker() to its first message; then the next one.
'use strict';
const { Worker, isMainThread, parentPort, workerData } = require('worker_threads');
const { readFileSync } = require('fs');
if (!isMainThread) {
  parentPort.postMessage('x');
  if (workerData) parentPort.on('message', () => process.exit(0));
} else {
  const rounds = process.argv.includes('--smoke') ? 5 : 200;
  const IDLE = 20;
  const residentKib = () => Number(readFileSync('/proc/self/statm', 'utf8').split(' ')[1]) * 4;
  const one = (stays) => new Promise((done) => {
    const begin = process.hrtime.bigint();
    const worker = new Worker(__filename, { workerData: stays });
    let us;
    worker.on('message', () => {
      us = Number(process.hrtime.bigint() - begin) / 1000;
      if (stays) done(worker);
    });
    worker.on('exit', () => done(us));
  });
  (async () => {
    const samples = [];
    const idle = [];
    const first = await one(true); // not counted
    const before = residentKib();
    for (let i = 0; i < IDLE; i++) idle.push(await one(true));
    const idleKib = (residentKib() - before) / IDLE;
    idle.push(first);
    await Promise.all(idle.map((worker) => worker.terminate()));
    for (let i = 0; i < rounds; i++) samples.push(await one(false));
    samples.sort((a, b) => a - b);
    console.log(`p50_us ${samples[Math.floor(rounds * 0.5)]}`);
    console.log(`p99_us ${samples[Math.min(rounds - 1, Math.floor(rounds * 0.99))]}`);
    console.log(`idle_kib ${idleKib}`);
    console.log(`checksum ${rounds.toString(16).padStart(16, '0')}`);
  })();
}
