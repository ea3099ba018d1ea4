//! The bar: both figures on the captured mix, and on mixes of further logs where they are given.

use taskhost_quality::BAR;
use taskhost_quality::measure::{SAMPLE_SIZE, measure};
use taskhost_quality::mix::{EXTRA_LOGS, Mix, captured, extra_folder, logs, standard};

fn holds(mix: &Mix, size: usize, seed: u64) -> Result<(), String> {
    let ours = measure(mix, size, seed);
    if ours.ari >= BAR && ours.f1 >= BAR {
        return Ok(());
    }
    let filters: Vec<String> = ours
        .filters
        .iter()
        .map(|filter| filter.to_json().to_string())
        .collect();
    Err(format!(
        "{}: ARI {:.3}, F1 {:.3}, below {BAR}; filters:\n{}",
        mix.name,
        ours.ari,
        ours.f1,
        filters.join("\n")
    ))
}

#[test]
fn the_captured_mix_reaches_the_bar_whatever_the_sample() {
    let mix = captured().unwrap();
    for (size, seed) in [(SAMPLE_SIZE, 1), (SAMPLE_SIZE, 2), (2_000, 3)] {
        holds(&mix, size, seed).unwrap();
    }
}

#[test]
fn one_system_is_one_feature() {
    let mix = captured().unwrap();
    let sources = mix.sources.iter().max().unwrap() + 1;
    for source in 0..sources {
        let mine = |index: &usize| mix.sources[*index] == source;
        let alone: Vec<usize> = (0..mix.documents.len()).filter(mine).collect();
        let one = Mix {
            name: format!("source {source} alone"),
            documents: alone
                .iter()
                .map(|index| mix.documents[*index].clone())
                .collect(),
            sources: vec![0; alone.len()],
            names: vec![mix.names[source].clone()],
        };
        let ours = measure(&one, SAMPLE_SIZE, 1);
        assert_eq!(ours.filters.len(), 1, "{}: {:?}", one.name, ours.names);
        holds(&one, SAMPLE_SIZE, 1).unwrap();
    }
}

#[test]
fn mixes_of_further_logs_reach_the_bar() {
    let Some(folder) = extra_folder() else {
        println!("!!! SKIPPED: mixes of further logs; set {EXTRA_LOGS}=DIR (NAME.log files)");
        return;
    };
    let mixes = standard(&logs(&folder).unwrap());
    let failed: Vec<String> = mixes
        .iter()
        .filter_map(|mix| holds(mix, SAMPLE_SIZE, 1).err())
        .collect();
    assert!(failed.is_empty(), "{}", failed.join("\n\n"));
}
