//! The span of each acquire, inside a span of the program's, as OpenTelemetry has it. Here spans
//! are kept in memory and printed; put the exporter of your collector in that place.
#![forbid(unsafe_code)]
#![warn(missing_docs)]

mod support;

use std::error::Error;
use std::time::Duration;

use opentelemetry::trace::TracerProvider;
use opentelemetry_sdk::trace::{InMemorySpanExporter, SdkTracerProvider, SpanData};
use support::Redis;
use tenure_redis::{LockError, Locks};
use tracing::{Instrument, Level, info_span};
use tracing_subscriber::Layer;
use tracing_subscriber::filter::Targets;
use tracing_subscriber::layer::SubscriberExt;

const KEY: &str = "examples/opentelemetry";

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let exporter = InMemorySpanExporter::default();
    let provider = SdkTracerProvider::builder()
        .with_simple_exporter(exporter.clone())
        .build();
    // The span of an acquire is at DEBUG.
    let wanted = Targets::new()
        .with_target("tenure_redis", Level::DEBUG)
        .with_target(module_path!(), Level::INFO);
    let spans = tracing_opentelemetry::layer().with_tracer(provider.tracer("billing"));
    tracing::subscriber::set_global_default(
        tracing_subscriber::registry().with(spans.with_filter(wanted)),
    )?;

    let redis = Redis::one()?;
    let locks = Locks::connect(redis.url()).await?;
    let first = tokio::spawn(bill(locks.clone()));
    let second = tokio::spawn(bill(locks));
    first.await??;
    second.await??;

    provider.force_flush()?;
    let spans = exporter.get_finished_spans()?;
    spans.iter().for_each(show);
    let acquires: Vec<_> = spans.iter().filter(|span| span.name == "acquire").collect();
    assert_eq!(acquires.len(), 2);
    for acquire in &acquires {
        let caller = |span: &&SpanData| span.span_context.span_id() == acquire.parent_span_id;
        let caller = spans.iter().find(caller).expect("it has a parent");
        assert_eq!(caller.name, "bill");
        assert_eq!(field(acquire, "outcome").as_deref(), Some("granted"));
    }
    let in_line = |span: &&&SpanData| field(span, "ahead").as_deref() == Some("0");
    assert_eq!(acquires.iter().filter(in_line).count(), 1);
    Ok(())
}

/// One bill at a time.
async fn bill(locks: Locks) -> Result<(), LockError> {
    async {
        let _guard = locks.lock(KEY).await?;
        support::pass(Duration::from_millis(100)).await;
        Ok(())
    }
    .instrument(info_span!("bill"))
    .await
}

fn field(span: &SpanData, name: &str) -> Option<String> {
    let mut fields = span.attributes.iter();
    let field = fields.find(|field| field.key.as_str() == name)?;
    Some(field.value.to_string())
}

fn show(span: &SpanData) {
    let took = span.end_time.duration_since(span.start_time);
    println!("{} took {:.1?}", span.name, took.unwrap_or_default());
    for name in ["key", "attempts", "ahead", "waited_ms", "outcome"] {
        if let Some(value) = field(span, name) {
            println!("  {name} = {value}");
        }
    }
}
