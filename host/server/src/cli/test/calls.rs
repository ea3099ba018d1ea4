//! Host calls as the command line names them, and as it tells them.

use taskhost_clients::calls::NAMES;

use crate::cli::text;
use crate::kit::script::Call;
use crate::settings::nearest;

/// Which call of a name: `streams.sample:2`.
pub(super) fn call_and_number(text: &str) -> Result<(String, u64), String> {
    let parsed = text
        .rsplit_once(':')
        .and_then(|(call, number)| Some((call.to_owned(), number.parse().ok()?)));
    let given = parsed.filter(|(call, number)| call.contains('.') && *number > 0);
    let (call, number) = given.ok_or("write a call and which one of it: `streams.sample:2`")?;
    if NAMES.contains(&call.as_str()) {
        return Ok((call, number));
    }
    let call = text::shown(&call);
    Err(match nearest(&call, NAMES) {
        Some(near) => format!("`{call}` is no call that can fail: did you mean `{near}`?"),
        None => format!(
            "`{call}` is no call that can fail; these are: {}",
            NAMES.join(", ")
        ),
    })
}

/// Each call on a line.
pub(super) fn trace(calls: &[Call]) {
    for Call {
        number,
        name,
        answer,
    } in calls
    {
        let answer = answer.as_deref().unwrap_or("never answered");
        say!(
            "  {:<10} {name}: {}",
            format!("call {number}"),
            text::shown(answer)
        );
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_call_that_there_is_not_is_refused_with_one_that_there_is() {
        let given = call_and_number("streams.sample:2").unwrap();
        assert_eq!(given, ("streams.sample".to_owned(), 2));
        for (text, words) in [
            ("streams.samlpe:3", "did you mean `streams.sample`?"),
            ("context.slep:1", "did you mean `context.sleep`?"),
            ("quite.another:1", "these are: children.cancel, "),
            ("log.log:1", "no call that can fail"),
            ("sample", "`streams.sample:2`"),
            ("streams.sample:0", "`streams.sample:2`"),
        ] {
            let said = call_and_number(text).unwrap_err();
            assert!(said.contains(words), "{said}");
        }
    }
}
