//! nginx's smooth weighted round robin as a cycle.
//!
//! At each step every candidate's credit grows by its weight, the highest credit is picked, the first of several
//! that are equal, and falls by the sum of the weights (nginx, `ngx_http_upstream_round_robin.c`). After as many
//! steps as the sum divided by the greatest common divisor all credits are 0 again.
//!
//! Candidates of one weight take turns among themselves, so their credits need not be told apart: a step compares
//! the distinct weights, of which a cycle can hold no more than 361.

use alloc::collections::BTreeMap;

use super::greatest_common_divisor;

/// The positions in the order in which they are picked, or none when the cycle is too long.
pub(super) fn cycle(weights: &[u32]) -> Option<Box<[u16]>> {
    let divisor = weights.iter().copied().map(u64::from).fold(0, greatest_common_divisor);
    let total = weights.iter().copied().map(u64::from).sum::<u64>().checked_div(divisor)?;
    if total > CYCLE_MAX {
        return None;
    }
    let mut groups: BTreeMap<u64, Group> = BTreeMap::new();
    for (position, weight) in (0..=u16::MAX).zip(weights) {
        groups.entry(u64::from(*weight) / divisor).or_default().members.push(position);
    }
    let mut groups: Vec<(i64, Group)> = groups.into_iter().map(|(weight, group)| (weight as i64, group)).collect();
    Some((0..total).map(|_| step(&mut groups, total as i64)).collect())
}

/// Candidates of one weight.
#[derive(Debug, Default)]
struct Group {
    members: Vec<u16>,
    /// Which of them is next, and its credit.
    next: usize,
    credit: i64,
}

/// Picks the next of `groups`, each with its weight.
fn step(groups: &mut [(i64, Group)], total: i64) -> u16 {
    let mut best: Option<(&mut Group, u16)> = None;
    for (weight, group) in groups {
        group.credit += *weight;
        let head = group.members[group.next];
        let wins = best.as_ref().is_none_or(|(leader, first)| {
            group.credit > leader.credit || (group.credit == leader.credit && head < *first)
        });
        if wins {
            best = Some((group, head));
        }
    }
    let Some((group, head)) = best else { return 0 };
    group.next += 1;
    // The rest of the group have been picked once less, until everybody has had its turn.
    if group.next == group.members.len() {
        group.next = 0;
        group.credit -= total;
    }
    head
}

const CYCLE_MAX: u64 = 1 << 16;
