// submit_tokio.rs — the same with Tokio: Handle::spawn() from threads outside the runtime; each task counts itself as its completion.
//
// Less than what the others do: nothing is delivered to the submitter, it only sees a counter grow. Awaiting a JoinHandle for each task
// has not been measured.
use std::process::exit;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::Arc;
use std::time::Instant;

const WINDOW: u64 = 1024; // SUBMIT_WINDOW in submit.h

#[repr(align(64))]
struct Counter(AtomicU64);

fn submit(handle: &tokio::runtime::Handle, counter: &'static Counter, count: u64) {
    for i in 0..count {
        while i - counter.0.load(Ordering::Acquire) >= WINDOW {
            std::thread::yield_now();
        }
        handle.spawn(async move {
            counter.0.fetch_add(1, Ordering::Release);
        });
    }
    while counter.0.load(Ordering::Acquire) < count {
        std::thread::yield_now();
    }
}

fn counter() -> &'static Counter {
    Box::leak(Box::new(Counter(AtomicU64::new(0))))
}

extern "C" {
    fn clock_gettime(clock: i32, time: *mut [i64; 2]) -> i32;
}

fn cpu_ns() -> f64 {
    let mut time = [0i64; 2];
    unsafe { clock_gettime(2, &mut time) }; // CLOCK_PROCESS_CPUTIME_ID
    time[0] as f64 * 1e9 + time[1] as f64
}

fn main() {
    let arguments: Vec<String> = std::env::args().collect();
    let is_smoke = arguments.iter().any(|a| a == "--smoke");
    let variant = arguments.iter().position(|a| a == "--variant").and_then(|i| arguments.get(i + 1));
    let submitters: u64 = match variant.map(String::as_str) {
        Some("1-submitter") => 1,
        Some("3-submitters") => 3,
        _ => {
            eprintln!("variants: 1-submitter 3-submitters");
            exit(2);
        }
    };
    let each = if is_smoke { 30000 } else { 9999999 } / submitters;
    let workers = std::thread::available_parallelism().map(|n| n.get()).unwrap_or(1);
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(workers).build().unwrap();
    let runtime = Arc::new(runtime);
    submit(runtime.handle(), counter(), 1000); // the workers are up

    let begin_cpu = cpu_ns();
    let begin = Instant::now();
    let counters: Vec<&'static Counter> = (0..submitters).map(|_| counter()).collect();
    let threads: Vec<_> = counters
        .iter()
        .map(|&counter| {
            let runtime = runtime.clone();
            std::thread::spawn(move || submit(runtime.handle(), counter, each))
        })
        .collect();
    for thread in threads {
        thread.join().unwrap();
    }
    let ran: u64 = counters.iter().map(|c| c.0.load(Ordering::Acquire)).sum();
    let ns = begin.elapsed().as_nanos() as f64;
    let cpu = cpu_ns() - begin_cpu;
    let tasks = (each * submitters) as f64;
    println!("tasks_per_s {:.0}", tasks / ns * 1e9);
    println!("ns_per_task {:.3}", ns / tasks);
    println!("cpu_ns_per_task {:.3}", cpu / tasks);
    println!("checksum {:016x}", ran);
}
