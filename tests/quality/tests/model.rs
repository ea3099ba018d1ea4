//! What language models of all kinds make of the figures: a good one has better names, and none
//! makes anything worse.

use taskhost_quality::BAR;
use taskhost_quality::measure::{Measured, SAMPLE_SIZE, measure, measure_with};
use taskhost_quality::mix::{EXTRA_LOGS, Mix, captured, extra_folder, logs, standard};
use taskhost_quality::scripted::{KINDS, Kind, Scripted};

/// Of the names of a good model a person accepts this share.
const NAMED_MIN: f64 = 0.9;

/// With each kind of model no figure is below that without.
fn holds(mix: &Mix) -> Vec<(Kind, Measured)> {
    let alone = measure(mix, SAMPLE_SIZE, 1);
    let measured = KINDS.map(|kind| {
        let with = measure_with(mix, SAMPLE_SIZE, 1, &mut Scripted::new(kind));
        println!(
            "{}: {kind:?} {:?}: ARI {:.3} → {:.3}, F1 {:.3} → {:.3}, names {:.2} → {:.2}",
            mix.name, with.names, alone.ari, with.ari, alone.f1, with.f1, alone.named, with.named
        );
        let is_worse = with.ari < alone.ari || with.f1 < alone.f1 || with.named < alone.named;
        assert!(
            !is_worse,
            "{}: {kind:?} makes it worse: {:?}",
            mix.name, with.names
        );
        (kind, with)
    });
    measured.into()
}

#[test]
fn a_good_model_has_names_that_people_accept_and_none_makes_anything_worse() {
    for (kind, with) in holds(&captured().unwrap()) {
        assert!(with.ari >= BAR && with.f1 >= BAR);
        if kind == Kind::Good {
            assert!(with.named >= NAMED_MIN, "{}: {:?}", with.named, with.names);
        }
    }
}

#[test]
fn nor_on_mixes_of_further_logs() {
    let Some(folder) = extra_folder() else {
        println!("!!! SKIPPED: mixes of further logs; set {EXTRA_LOGS}=DIR (NAME.log files)");
        return;
    };
    for mix in standard(&logs(&folder).unwrap()) {
        holds(&mix);
    }
}
