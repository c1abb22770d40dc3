//! Captures of two points, of which at least one is in pieces: which capture was made at which point.
//!
//! Two captures that share a connection were made at different points. Pieces of one point share none; they have in
//! common which hosts they are near to.

use std::net::IpAddr;

use foldhash::HashMap;

use super::{Between, Capture, Point};

/// The point of each capture, that of the first being 0; `between`: captures that share connections. `None` if
/// there are more points than two, or one of the captures cannot be placed.
pub(super) fn sides(
    captures: &[Capture],
    between: &[((usize, usize), Between)],
) -> Option<Vec<Point>> {
    let mut sides = vec![None; captures.len()];
    let mut hosts: HashMap<IpAddr, Point> = HashMap::default();
    *sides.get_mut(between.first()?.0.0)? = Some(0);
    let mut is_settled = false;
    while !is_settled {
        is_settled = true;
        for ((one, other), between) in between {
            let of_one = sides[*one].or(sides[*other].map(|side: Point| 1 - side));
            let mut near = between.near(&captures[*one], &captures[*other]);
            let of_one = of_one.or_else(|| {
                near.find_map(|[near_one, near_other]| {
                    let of_other = hosts.get(&near_other).map(|side| 1 - side);
                    hosts.get(&near_one).copied().or(of_other)
                })
            });
            let Some(of_one) = of_one else { continue };
            for (capture, side) in [(*one, of_one), (*other, 1 - of_one)] {
                is_settled &= sides[capture].is_some();
                if *sides[capture].get_or_insert(side) != side {
                    return None;
                }
            }
            for hosts_near in between.near(&captures[*one], &captures[*other]) {
                for (host, side) in hosts_near.into_iter().zip([of_one, 1 - of_one]) {
                    if *hosts.entry(host).or_insert(side) != side {
                        return None;
                    }
                }
            }
        }
    }
    let first = (*sides.first()?)?;
    sides.into_iter().map(|side| Some(side? ^ first)).collect()
}

impl Between {
    /// Of each connection that is in both captures: the host that the one is near to, and the same of the other.
    fn near<'a>(
        &'a self,
        one: &'a Capture,
        other: &'a Capture,
    ) -> impl Iterator<Item = [IpAddr; 2]> + 'a {
        let decided = self
            .pairs
            .iter()
            .filter(|(_, pair)| pair.is_certain && pair.votes != 0);
        decided.map(|((in_one, in_other), pair)| {
            let near = usize::from(pair.votes < 0);
            let far = (1 - near) ^ usize::from(pair.is_turned);
            [
                one.ends[*in_one as usize][near].ip(),
                other.ends[*in_other as usize][far].ip(),
            ]
        })
    }
}
