//! Two lists, side by side.

/// Writes a line for each text: `-` before what is expected and missing, `+` before what came and is not expected.
pub(super) fn difference(expected: &[String], got: &[String]) -> String {
    // The length of the longest common list of what follows.
    let mut common = vec![vec![0; got.len() + 1]; expected.len() + 1];
    for (at, text) in expected.iter().enumerate().rev() {
        for (with, other) in got.iter().enumerate().rev() {
            common[at][with] = match text == other {
                true => common[at + 1][with + 1] + 1,
                false => common[at + 1][with].max(common[at][with + 1]),
            };
        }
    }
    let (mut at, mut with) = (0, 0);
    let mut lines = String::new();
    let mut line = |sign: char, text: &str| lines.extend(["\n", &sign.to_string(), " ", text]);
    while at < expected.len() || with < got.len() {
        if at < expected.len() && with < got.len() && expected[at] == got[with] {
            line(' ', &expected[at]);
            (at, with) = (at + 1, with + 1);
        } else if with == got.len() || (at < expected.len() && common[at + 1][with] >= common[at][with + 1]) {
            line('-', &expected[at]);
            at += 1;
        } else {
            line('+', &got[with]);
            with += 1;
        }
    }
    lines
}

#[cfg(test)]
mod tests {
    use super::difference;

    #[test]
    fn what_is_missing_and_what_is_too_much_is_marked() {
        for (expected, got, lines) in [
            ("", "", ""),
            ("a", "a", "\n  a"),
            ("a", "b", "\n- a\n+ b"),
            ("a b c", "a c", "\n  a\n- b\n  c"),
            ("a c", "a b b c", "\n  a\n+ b\n+ b\n  c"),
            ("a b", "b a", "\n- a\n  b\n+ a"),
        ] {
            let [expected, got] = [expected, got].map(|texts| texts.split_terminator(' ').map(str::to_owned).collect());
            let (expected, got): (Vec<_>, Vec<_>) = (expected, got);
            assert_eq!(difference(&expected, &got), lines, "{expected:?} {got:?}");
        }
    }
}
