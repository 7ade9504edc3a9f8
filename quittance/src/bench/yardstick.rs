//! What a figure is held against, round by round.

use std::fmt;
use std::path::Path;
use std::sync::Arc;

use super::load::{LoadOptions, Traffic};
use super::measured::{Measured, Work};
use super::payments::Payments;
use super::pgbench::{PgBench, Script};
use super::rounds::Rounds;
use super::shop::{Shop, ShopOptions};
use super::target::Target;

/// How long the short run is, in seconds.
const SHORT: u64 = 10;
/// How many clients and merchants the spread run has.
const SPREAD: u32 = 1000;

/// Rounds with a yardstick.
#[derive(Clone, Debug, clap::Args)]
pub struct Turns {
    /// Measures a yardstick and this in turn, so many times, and tells the medians and the ratio; 0 measures
    /// this alone, once.
    #[arg(long, default_value_t = 0, value_parser = clap::value_parser!(u32).range(0..=1000))]
    pub(super) rounds: u32,
    /// The yardstick; what suits the measure, unless given.
    #[arg(long)]
    against: Option<Against>,
    /// How many clients pgbench has.
    #[arg(long, default_value_t = 64, value_parser = clap::value_parser!(u32).range(1..=150))]
    pgbench_clients: u32,
}

/// What is measured in turn with something else.
#[derive(Clone, Copy, PartialEq, Eq, Debug, clap::ValueEnum)]
pub enum Against {
    /// Single inserts by pgbench on the same server, by as many clients.
    Inserts,
    /// TPC-B by pgbench.
    TpcB,
    /// The same for ten seconds only.
    Short,
    /// The same spread over a thousand clients and merchants.
    Spread,
}

/// A yardstick that is ready.
enum Yardstick {
    PgBench(PgBench, Script),
    Short,
    Spread(Arc<Payments>),
}

impl Yardstick {
    async fn open(
        against: Against,
        target: &Target,
        pg_bin: Option<&Path>,
        clients: u32,
    ) -> anyhow::Result<Self> {
        Ok(match against {
            Against::Inserts => {
                Self::PgBench(PgBench::open(target, pg_bin, clients).await?, Script::SingleInsert)
            }
            Against::TpcB => {
                let pgbench = PgBench::open(target, pg_bin, clients).await?;
                pgbench.prepare_tpc_b().await?;
                Self::PgBench(pgbench, Script::TpcB)
            }
            Against::Short => Self::Short,
            Against::Spread => {
                let people = ShopOptions { clients: SPREAD, merchants: SPREAD, zipf: None };
                Self::Spread(Arc::new(Payments(Shop::open(target, &people).await?)))
            }
        })
    }

    async fn close(self) -> anyhow::Result<()> {
        match self {
            Self::PgBench(pgbench, _) => pgbench.close().await,
            Self::Short | Self::Spread(_) => Ok(()),
        }
    }
}

impl fmt::Display for Yardstick {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::PgBench(_, script) => script.fmt(f),
            Self::Short => write!(f, "the same in {SHORT} s"),
            Self::Spread(_) => write!(f, "payments/s over {SPREAD} clients and merchants"),
        }
    }
}

/// What is told of a measurement that has a yardstick.
pub(super) struct Figure {
    /// What it is called, with its unit.
    pub(super) name: &'static str,
    pub(super) of: fn(&Measured) -> f64,
    /// The yardstick, unless another is asked for.
    pub(super) against: Against,
}

/// Measures in turn with the yardstick; returns the rounds, if there are any, and the last measurement.
pub(super) async fn measure<T: Traffic>(
    target: &Target,
    pg_bin: Option<&Path>,
    turns: &Turns,
    figure: &Figure,
    work: &Work<'_, T>,
    load: &LoadOptions,
) -> anyhow::Result<(Option<Rounds>, Measured)> {
    if turns.rounds == 0 {
        return Ok((None, work.measure(target, load).await?));
    }
    let against = turns.against.unwrap_or(figure.against);
    let yardstick = Yardstick::open(against, target, pg_bin, turns.pgbench_clients).await?;
    let mut figures = Vec::new();
    let measured = loop {
        let held_against = match &yardstick {
            Yardstick::PgBench(pgbench, script) => {
                pgbench.transactions_per_second(*script, load.seconds).await?
            }
            Yardstick::Short => {
                (figure.of)(&work.measure(target, &LoadOptions { seconds: SHORT, ..load.clone() }).await?)
            }
            Yardstick::Spread(payments) => {
                let traffic = Arc::clone(payments);
                let work = Work { what: "spread payments", url: work.url, traffic, held_back: false };
                (figure.of)(&work.measure(target, load).await?)
            }
        };
        let measured = work.measure(target, load).await?;
        figures.push((held_against, (figure.of)(&measured)));
        if figures.len() == turns.rounds as usize {
            break measured;
        }
    };
    let rounds = Rounds::of(figure.name, &yardstick.to_string(), &figures);
    yardstick.close().await?;
    Ok((Some(rounds), measured))
}
