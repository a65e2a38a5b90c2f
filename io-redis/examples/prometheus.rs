//! What a client counts and measures, on a page that Prometheus reads. The example reads it once
//! itself. `docs/grafana/tenure.json` is a dashboard over what stands there.
#![forbid(unsafe_code)]
#![warn(missing_docs)]

mod support;

use std::error::Error;
use std::io;
use std::net::SocketAddr;
use std::time::Duration;

use metrics_exporter_prometheus::{Matcher, PrometheusBuilder, PrometheusHandle};
use support::Redis;
use tenure_redis::Locks;
use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::net::{TcpListener, TcpStream};

const KEY: &str = "examples/prometheus";
/// From a round trip in one machine to a long job. A quantile is a guess within one of these steps,
/// so they are small about a TTL, which is how long an outage makes others wait.
const SECONDS: [f64; 14] = [
    0.0005, 0.002, 0.01, 0.05, 0.1, 0.5, 1.0, 2.0, 5.0, 10.0, 15.0, 30.0, 60.0, 600.0,
];
const PLACES: [f64; 7] = [0.0, 1.0, 3.0, 10.0, 30.0, 100.0, 1_000.0];

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    // The recorder first: a client tells the one that is there when it is built.
    let recorder = PrometheusBuilder::new()
        .set_buckets_for_metric(Matcher::Suffix("_seconds".to_owned()), &SECONDS)?
        .set_buckets_for_metric(Matcher::Full("tenure_places_ahead".to_owned()), &PLACES)?
        .install_recorder()?;
    let listener = TcpListener::bind("127.0.0.1:0").await?;
    let address = listener.local_addr()?;
    tokio::spawn(serve(listener, recorder));

    let redis = Redis::one()?;
    let locks = Locks::connect(redis.url()).await?;
    let guard = locks.lock(KEY).await?;
    locks.try_lock(KEY).await.expect_err("it is held");
    let waiting = locks.clone();
    let waiting = tokio::spawn(async move { waiting.lock(KEY).await });
    support::pass(Duration::from_millis(50)).await;
    let held = read(address).await?;
    guard.release().await?;
    waiting.await??.release().await?;

    println!("http://{address}/metrics says:");
    let page = read(address).await?;
    let told = |line: &&str| {
        line.starts_with("tenure_") && !line.contains("_bucket") && !line.ends_with(" 0")
    };
    page.lines()
        .filter(told)
        .for_each(|line| println!("  {line}"));

    assert!(held.contains("\ntenure_held_leases 1\n"), "{held}");
    for line in [
        "# TYPE tenure_acquire_seconds histogram",
        "tenure_acquire_seconds_count{outcome=\"contended\"} 1",
        "tenure_held_leases 0",
        "tenure_grants_total 2",
        "tenure_contention_total 2",
        "tenure_hold_seconds_count 2",
    ] {
        assert!(page.lines().any(|one| one == line), "{line}: {page}");
    }
    Ok(())
}

/// Answers every request with the page. A program that has a web server puts `render` into a route
/// of its own.
async fn serve(listener: TcpListener, recorder: PrometheusHandle) -> io::Result<()> {
    loop {
        let (stream, _) = listener.accept().await?;
        // A reader that went away is no reason to stop.
        let _ = answer(stream, &recorder).await;
    }
}

async fn answer(mut stream: TcpStream, recorder: &PrometheusHandle) -> io::Result<()> {
    let mut lines = BufReader::new(&mut stream).lines();
    while lines
        .next_line()
        .await?
        .is_some_and(|line| !line.is_empty())
    {}
    let page = recorder.render();
    let head = format!(
        "HTTP/1.1 200 OK\r\nContent-Type: text/plain; version=0.0.4\r\nContent-Length: {}\r\n\
         Connection: close\r\n\r\n",
        page.len()
    );
    stream.write_all(head.as_bytes()).await?;
    stream.write_all(page.as_bytes()).await
}

/// Reads the page as Prometheus does.
async fn read(address: SocketAddr) -> io::Result<String> {
    let mut stream = TcpStream::connect(address).await?;
    let request = format!("GET /metrics HTTP/1.1\r\nHost: {address}\r\n\r\n");
    stream.write_all(request.as_bytes()).await?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await?;
    let (head, page) = answer.split_once("\r\n\r\n").unwrap_or_default();
    assert!(head.starts_with("HTTP/1.1 200 OK"), "{answer}");
    Ok(page.to_owned())
}
