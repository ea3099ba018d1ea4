//! Runs the house rules over the project, and shows that each of them can complain.

use taskhost_tidy::RULES;
use taskhost_tidy::tree::Tree;

#[test]
fn the_house_is_in_order() {
    let tree = Tree::of_the_project().unwrap();
    assert!(
        tree.rust().count() > 50,
        "the project's files were not found"
    );
    let mut report = String::new();
    for rule in RULES {
        let mistakes = (rule.check)(&tree);
        if !mistakes.is_empty() {
            report.push_str(&format!("\n{}: {}\n", rule.name, rule.why));
        }
        for mistake in mistakes {
            report.push_str(&format!("    {}: {}\n", mistake.place, mistake.what));
        }
    }
    assert!(report.is_empty(), "{report}");
}

#[test]
fn every_rule_complains_about_what_breaks_it() {
    for rule in RULES {
        let mistakes = (rule.check)(&Tree::of(rule.broken));
        assert!(
            !mistakes.is_empty(),
            "`{}` finds nothing in its own example",
            rule.name
        );
    }
}
