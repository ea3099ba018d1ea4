//! What the compiled query asks for.

use super::super::query_fields::{Fields, Kind, Known, Numbers};
use super::*;
use serde_json::json;

fn known(kind: Kind) -> Known {
    Known {
        kind,
        indices: vec!["i".to_owned()],
    }
}

fn fields() -> Fields {
    let whole = Numbers {
        limit: 2_147_483_647.0,
        whole: true,
        error: f64::EPSILON,
        cut: 1.0,
    };
    let text = |standard, keyword: Option<&str>| Kind::Text {
        standard,
        keyword: keyword.map(|name| (name.to_owned(), true)),
    };
    let fields = [
        ("k", Kind::Keyword { plain: true }),
        ("normal", Kind::Keyword { plain: false }),
        ("m", text(true, Some("m.keyword"))),
        ("s", text(true, None)),
        ("odd", text(false, None)),
        ("n", Kind::Number(whole)),
        ("b", Kind::Boolean),
        ("d", Kind::Indexed),
    ];
    let fields = fields.into_iter();
    Fields(
        fields
            .map(|(name, kind)| (name.to_owned(), known(kind)))
            .collect(),
    )
}

/// The query for what has a value that passes, of the test of one field.
fn narrowed(condition: &Condition) -> Value {
    match compile(Some(condition), &fields()).bound {
        Bound::Some(query) => query["bool"]["should"][0].clone(),
        other => panic!("{other:?}"),
    }
}

#[test]
fn constants_alone_are_exact() {
    let field = || Condition::eq("k", "x");
    for (condition, bound) in [
        (Condition::Always, Bound::All),
        (Condition::Never, Bound::None),
        (Condition::and(vec![]), Bound::All),
        (Condition::or(vec![]), Bound::None),
        (Condition::not(Condition::Never), Bound::All),
        (Condition::or(vec![field(), Condition::Always]), Bound::All),
        (Condition::and(vec![field(), Condition::Never]), Bound::None),
    ] {
        let compiled = compile(Some(&condition), &fields());
        assert_eq!(compiled, Compiled { bound, exact: true }, "{condition:?}");
    }
    assert!(!compile(Some(&field()), &fields()).exact);
}

#[test]
fn what_fails_a_test_may_be_anything() {
    let part = || Condition::contains("k", "x");
    for condition in [
        Condition::not(part()),
        Condition::field("k", Test::Neq(json!("x"))),
        Condition::exists("k", true),
        Condition::exists("k", false),
        Condition::not(Condition::and(vec![part(), Condition::Always])),
        Condition::or(vec![part(), Condition::not(part())]),
        Condition::eq("unknown", 1),
    ] {
        let compiled = compile(Some(&condition), &fields());
        let (bound, exact) = (Bound::All, false);
        assert_eq!(compiled, Compiled { bound, exact }, "{condition:?}");
    }
    let twice = Condition::not(Condition::not(part()));
    assert_eq!(narrowed(&twice), narrowed(&part()));
    let not_neq = Condition::not(Condition::field("k", Test::Neq(json!("x"))));
    assert_eq!(narrowed(&not_neq), json!({"term": {"k": "x"}}));
}

#[test]
fn what_was_not_indexed_is_looked_at_too() {
    let Bound::Some(query) = compile(Some(&Condition::eq("m", "x")), &fields()).bound else {
        panic!("it is narrowed");
    };
    assert_eq!(
        query["bool"]["should"],
        json!([
            {"bool": {"filter": [{"term": {"m": "x"}}]}},
            {"terms": {"_ignored": ["m", "m.keyword"]}},
            {"bool": {"must_not": [{"terms": {"_index": ["i"]}}]}},
            {"bool": {"filter": [{"exists": {"field": "m"}}],
                "must_not": [{"exists": {"field": "m.keyword"}}]}},
        ])
    );
}

#[test]
fn texts_are_terms_patterns_and_words() {
    let exists = |name: &str| json!({"exists": {"field": name}});
    let anywhere = |pattern: &str| json!({"value": pattern, "case_insensitive": true});
    let words = |words: &[&str]| {
        let terms: Vec<_> = words
            .iter()
            .map(|word| json!({"term": {"s": word}}))
            .collect();
        json!({"bool": {"filter": terms}})
    };
    let long = "a".repeat(100);
    for (condition, expected) in [
        (Condition::eq("k", "a*"), json!({"term": {"k": "a*"}})),
        (Condition::eq("k", true), json!({"term": {"k": "true"}})),
        (Condition::eq("k", "5"), json!({"term": {"k": "5"}})),
        (Condition::eq("k", "5.0"), exists("k")),
        (Condition::eq("k", 5), exists("k")),
        (
            Condition::contains("k", "*a?\\"),
            json!({"wildcard": {"k": anywhere(r"*\*a\?\\*")}}),
        ),
        (Condition::contains("k", "1e5"), exists("k")),
        (Condition::contains("k", ""), exists("k")),
        (
            Condition::starts_with("k", "a*"),
            json!({"prefix": {"k": "a*"}}),
        ),
        (
            Condition::starts_with("k", &*long),
            json!({"prefix": {"k": &long[..64]}}),
        ),
        (
            Condition::ends_with("k", "ä*b"),
            json!({"wildcard": {"k": r"*ä\*b"}}),
        ),
        (Condition::field("k", Test::Lt(json!("b"))), exists("k")),
        (
            Condition::eq("normal", "A"),
            json!({"term": {"normal": "A"}}),
        ),
        (Condition::contains("normal", "A"), exists("normal")),
        (
            Condition::contains("m", "sshd["),
            json!({"wildcard": {"m.keyword": anywhere("*sshd[*")}}),
        ),
        (
            Condition::eq("s", "Failed password"),
            words(&["password", "failed"]),
        ),
        (
            Condition::contains("s", "Failed Password for x"),
            words(&["password", "for"]),
        ),
        (
            Condition::starts_with("s", "Failed pass"),
            words(&["failed"]),
        ),
        (
            Condition::ends_with("s", "led password"),
            words(&["password"]),
        ),
        (Condition::contains("s", "[...]"), exists("s")),
        (Condition::contains("odd", "a b c"), exists("odd")),
    ] {
        assert_eq!(narrowed(&condition), expected, "{condition:?}");
    }
    let part = narrowed(&Condition::contains("s", "sshd[12"));
    assert_eq!(
        part["bool"]["should"][0],
        json!({"wildcard": {"s": "*sshd*"}})
    );
}

#[test]
fn numbers_are_ranges_wide_enough() {
    let range = |low: Option<f64>, high: Option<f64>| {
        let ends = [("gte", low), ("lte", high)].into_iter();
        let ends = ends.filter_map(|(name, end)| Some((name, end?)));
        json!({"range": {"n": ends.collect::<std::collections::BTreeMap<_, _>>()}})
    };
    let within = Range {
        gt: Some(json!(1)),
        lt: Some(json!("x")),
        ..Range::default()
    };
    for (test, expected) in [
        (Test::Eq(json!(5.7)), range(Some(4.0), Some(7.0))),
        (Test::Eq(json!("5")), range(Some(3.0), Some(7.0))),
        (Test::Lt(json!(1e300)), range(None, Some(2_147_483_647.0))),
        (
            Test::Gte(json!(-1e300)),
            range(Some(-2_147_483_647.0), None),
        ),
        (Test::Range(within), range(Some(-1.0), None)),
        (Test::Eq(json!("x")), json!({"exists": {"field": "n"}})),
        (Test::Gt(json!("5")), json!({"exists": {"field": "n"}})),
        (
            Test::Contains("5".to_owned()),
            json!({"exists": {"field": "n"}}),
        ),
    ] {
        let condition = Condition::field("n", test);
        assert_eq!(narrowed(&condition), expected, "{condition:?}");
    }
    for test in [
        Test::Lt(json!("x")),
        Test::Eq(json!("")),
        Test::EndsWith(String::new()),
    ] {
        let all = compile(Some(&Condition::field("n", test)), &fields());
        assert_eq!(all.bound, Bound::All, "the empty text leaves no trace");
    }
    assert_eq!(
        narrowed(&Condition::eq("b", "true")),
        json!({"term": {"b": true}})
    );
    let exists = json!({"exists": {"field": "b"}});
    assert_eq!(narrowed(&Condition::eq("b", "")), exists);
    assert_eq!(narrowed(&Condition::starts_with("b", "true")), exists);
    let exists = json!({"exists": {"field": "d"}});
    assert_eq!(narrowed(&Condition::eq("d", "2026-01-01")), exists);
}
