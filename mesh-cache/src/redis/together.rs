//! Several futures at once, on one task.

use std::future::{Future, poll_fn};
use std::pin::{Pin, pin};
use std::task::Poll;

/// What all of `futures` come to, in their order.
pub(super) async fn all_of<F: Future>(futures: Vec<F>) -> Vec<F::Output> {
    let mut waiting: Vec<Pin<Box<F>>> = futures.into_iter().map(Box::pin).collect();
    let mut ended: Vec<Option<F::Output>> = waiting.iter().map(|_| None).collect();
    let all = poll_fn(move |context| {
        let mut is_over = true;
        for (future, ended) in waiting.iter_mut().zip(&mut ended).filter(|(_, ended)| ended.is_none()) {
            match future.as_mut().poll(context) {
                Poll::Ready(output) => *ended = Some(output),
                Poll::Pending => is_over = false,
            }
        }
        if is_over { Poll::Ready(std::mem::take(&mut ended).into_iter().flatten().collect()) } else { Poll::Pending }
    });
    pin!(all).await
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::all_of;

    #[tokio::test(start_paused = true)]
    async fn they_take_as_long_as_the_longest_and_keep_their_order() {
        let after = |seconds| async move {
            tokio::time::sleep(Duration::from_secs(seconds)).await;
            seconds
        };
        let together = all_of(vec![after(3), after(1), after(2)]);
        assert_eq!(tokio::time::timeout(Duration::from_millis(3_001), together).await, Ok(vec![3, 1, 2]));
        assert!(all_of(Vec::<std::future::Ready<u8>>::new()).await.is_empty());
    }
}
