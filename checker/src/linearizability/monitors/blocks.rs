//! Calls whose answers say which comes before which, but for blocks of calls that may stand in any order.

use super::super::{general::Call, partition::NEVER};

/// Orders calls by their block, and in a block by invocation. Where that is against real time: a call of a later block, and
/// one of an earlier block that was invoked after the former had returned.
///
/// (Within a block the order by invocation agrees with real time; so if no two calls of different blocks disagree with it,
/// the whole order does.)
pub(super) fn in_order(calls: &[Call<'_>], mut blocks: Vec<(u64, u32)>) -> Result<Vec<u32>, (u32, u32)> {
    let call = |at: u32| &calls[at as usize];
    blocks.sort_unstable_by_key(|(block, at)| (*block, call(*at).invoke));
    // Of the blocks behind, the first to return.
    let (mut first, mut first_of_block) = (None::<u32>, None::<u32>);
    let sooner = |one: Option<u32>, at: u32| match one {
        Some(one) if call(one).ret <= call(at).ret => Some(one),
        _ => Some(at),
    };
    let mut block_behind = u64::MAX;
    for (block, at) in blocks.iter().rev() {
        if *block != block_behind {
            block_behind = *block;
            first = first_of_block.map_or(first, |of_block| sooner(first, of_block));
            first_of_block = None;
        }
        if let Some(first) = first
            && call(first).ret != NEVER
            && call(first).ret < call(*at).invoke
        {
            return Err((first, *at));
        }
        first_of_block = sooner(first_of_block, *at);
    }
    Ok(blocks.into_iter().map(|(_, at)| at).collect())
}
