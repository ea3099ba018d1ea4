//! The quality report: `cargo run --release -p taskhost-quality`. For each mix our figures and
//! the baseline's. Ends with 1 where a mix is below the bar.

use std::io::{self, Write};
use std::process::ExitCode;

use taskhost_quality::BAR;
use taskhost_quality::baseline::Python;
use taskhost_quality::measure::{SAMPLE_SIZE, measure};
use taskhost_quality::mix::{EXTRA_LOGS, Mix, captured, extra_folder, logs, standard, subsets};

fn main() -> io::Result<ExitCode> {
    let mut out = io::stdout().lock();
    let (mut mixes, mut more) = (vec![captured()?], Vec::new());
    if let Some(folder) = extra_folder() {
        let logs = logs(&folder)?;
        mixes.extend(standard(&logs));
        more = subsets(&logs);
    } else {
        writeln!(
            out,
            "!!! SKIPPED: mixes of further logs; set {EXTRA_LOGS}=DIR (NAME.log files)"
        )?;
    }
    let python = match Python::prepare() {
        Ok(python) => Some(python),
        Err(problem) => {
            writeln!(out, "!!! SKIPPED: the baseline; {problem}")?;
            None
        }
    };
    writeln!(
        out,
        "{:>9} {:>8} {:>6} {:>6} {:>7}   {:>8} {:>6}  mix",
        "documents", "features", "ARI", "F1", "ms", "base ARI", "F1"
    )?;
    let mut below = 0;
    for mix in &mixes {
        below += u32::from(!row(&mut out, mix, python.as_ref())?);
    }
    if !more.is_empty() {
        below += summary(&mut out, &more)?;
        mixes.append(&mut more);
    }
    let verdict = if below == 0 {
        "all reach"
    } else {
        "NOT all reach"
    };
    writeln!(
        out,
        "{} mixes, {below} below: {verdict} ARI and F1 >= {BAR:.2}",
        mixes.len()
    )?;
    Ok(ExitCode::from(u8::from(below > 0)))
}

/// Measures mixes without the baseline and prints the lowest figures; how many are below the bar.
fn summary(out: &mut impl Write, mixes: &[Mix]) -> io::Result<u32> {
    let (mut ari, mut f1, mut below) = (f64::INFINITY, f64::INFINITY, 0);
    for mix in mixes {
        let ours = measure(mix, SAMPLE_SIZE, 1);
        (ari, f1) = (ari.min(ours.ari), f1.min(ours.f1));
        below += u32::from(ours.ari < BAR || ours.f1 < BAR);
    }
    let name = format!("the lowest of {} mixes of three logs and more", mixes.len());
    writeln!(
        out,
        "{:>9} {:>8} {ari:>6.3} {f1:>6.3} {:>7}   {:>8} {:>6}  {name}",
        "", "", "", "", ""
    )?;
    Ok(below)
}

/// Prints one mix; false where it is below the bar.
fn row(out: &mut impl Write, mix: &Mix, python: Option<&Python>) -> io::Result<bool> {
    let ours = measure(mix, SAMPLE_SIZE, 1);
    let baseline = match python.map(|python| python.measure(mix)) {
        Some(Ok(base)) => format!("{:>8.3} {:>6.3}", base.ari, base.f1),
        Some(Err(problem)) => problem,
        None => format!("{:>8} {:>6}", "-", "-"),
    };
    let reached = ours.ari >= BAR && ours.f1 >= BAR;
    writeln!(
        out,
        "{:>9} {:>8} {:>6.3} {:>6.3} {:>7}   {baseline}  {}{}",
        mix.documents.len(),
        ours.filters.len(),
        ours.ari,
        ours.f1,
        ours.took.as_millis(),
        mix.name,
        if reached { "" } else { "   <-- below the bar" }
    )?;
    out.flush()?;
    Ok(reached)
}
