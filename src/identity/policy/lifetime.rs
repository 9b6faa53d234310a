//! How long a token may live that another token makes: no longer than its maker, or it would make up for the end that
//! its owner has set.

use super::{Decision, Denied, Means};

/// Whether somebody whose credential ends at `own_end` may make a token that ends at `wanted_end`; milliseconds since
/// 1970, None for never.
pub fn may_last(by: Means, own_end: Option<i64>, wanted_end: Option<i64>) -> Decision {
    match by {
        Means::Token(_) if outlives(own_end, wanted_end) => Decision::Deny(Denied::Wider),
        _ => Decision::Allow,
    }
}

fn outlives(own_end: Option<i64>, wanted_end: Option<i64>) -> bool {
    match (own_end, wanted_end) {
        (None, _) => false,
        (Some(_), None) => true,
        (Some(own), Some(wanted)) => wanted > own,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::identity::{Scope, ScopeSet};

    #[test]
    fn a_token_makes_none_that_outlives_it() {
        // When the maker's credential ends, when the token shall end, whether a token may make it.
        let cases = [
            (None, None, true),
            (None, Some(9), true),
            (Some(9), None, false),
            (Some(9), Some(8), true),
            (Some(9), Some(9), true),
            (Some(9), Some(10), false),
        ];
        let by_token = Means::Token(ScopeSet::from_iter([Scope::Admin]));
        for (own, wanted, may) in cases {
            let expected = if may { Decision::Allow } else { Decision::Deny(Denied::Wider) };
            assert_eq!(may_last(by_token, own, wanted), expected, "{own:?} {wanted:?}");
            assert_eq!(
                may_last(Means::Session, own, wanted),
                Decision::Allow,
                "a session makes any: {own:?} {wanted:?}"
            );
        }
    }
}
