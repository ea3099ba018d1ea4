//! T18: values that nobody has thought of.

use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};
use taskhost_e2e::long;

use super::{Came, DOORS, Fate, host, is_right, is_well, through};

/// A value of pieces that parsers disagree on; often it is none.
fn random_value(random: &mut StdRng, depth: usize) -> String {
    let text = |random: &mut StdRng| {
        let mut text = String::from("\"");
        for _ in 0..random.random_range(0..6) {
            match random.random_range(0..5) {
                0 => text.push_str(&format!("\\u{:04x}", random.random_range(0..0x1_0000_u32))),
                1 => text.push_str(&format!("\\ud8{:02x}\\udc{:02x}", 7, 0x33)),
                2 => {
                    text.push_str(["\\n", "\\/", "\\\\", "\\\"", "\\x"][random.random_range(0..5)])
                }
                3 => text.extend(char::from_u32(random.random_range(0x20..0x11_0000))),
                _ => text.push('a'),
            }
        }
        text.replace(['\n', '\r'], "") + "\""
    };
    match random.random_range(0..8) {
        0 | 1 => text(random),
        2 => {
            let digits = random.random_range(1..25);
            let digits = (0..digits).map(|_| char::from(random.random_range(b'0'..=b'9')));
            format!("-{}", digits.collect::<String>())
        }
        3 => random.random::<i64>().to_string(),
        4 => {
            let exponent = random.random_range(-500..500);
            format!(
                "{}.{}e{exponent}",
                random.random_range(0..10),
                random.random::<u64>()
            )
        }
        5 if depth < 70 => format!("[{}]", random_value(random, depth + 1)),
        6 if depth < 70 => {
            let (first, second) = (
                random_value(random, depth + 1),
                random_value(random, depth + 1),
            );
            format!("{{{}:{first},{}:{second}}}", text(random), text(random))
        }
        _ => [
            "null", "true", "0", "-0", "[]", "{}", "nul", "+1", ".5", "1.",
        ][random.random_range(0..10)]
        .to_owned(),
    }
}

#[tokio::test]
async fn whatever_comes_is_kept_exactly_or_refused() {
    let cases = if long() { 20_000 } else { 200 };
    let seed: u64 = rand::rng().random();
    println!("seed {seed}");
    let mut random = StdRng::seed_from_u64(seed);
    let host = host().await;
    let (mut kept, mut refused) = (0, 0);
    for n in 0..cases {
        let value = random_value(&mut random, 0).into_bytes();
        let door = DOORS[random.random_range(0..DOORS.len())];
        let came = through(&host, door, n, &value).await;
        is_right(door, &value, Fate::Either, &came);
        match came {
            Came::Out(_) => kept += 1,
            Came::Refused(_) => refused += 1,
        }
    }
    println!("{kept} kept, {refused} refused");
    assert!(
        kept > cases / 10 && refused > cases / 10,
        "{kept} {refused}"
    );
    is_well(&host).await;
    host.stop().await;
}
