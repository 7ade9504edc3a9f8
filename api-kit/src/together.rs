//! Questions to a database that are asked together: those who wait meanwhile share the next one.

use std::sync::{Mutex, MutexGuard, PoisonError};

use tokio::sync::oneshot;

use crate::problem::ApiError;

/// Those who ask the same kind of question, each about something else.
///
/// What one is told comes of a query that began after it asked, as if it had asked alone; but one query answers all
/// who came while the last one ran, so that the busier a service is, the fewer it sends for each request.
pub struct Together<Q, A> {
    waiting: Mutex<Vec<Waiting<Q, A>>>,
    turn: tokio::sync::Mutex<()>,
}

/// A question, and where its answer goes.
type Waiting<Q, A> = (Q, oneshot::Sender<Result<A, ApiError>>);

impl<Q, A> Default for Together<Q, A> {
    fn default() -> Self {
        Self { waiting: Mutex::default(), turn: tokio::sync::Mutex::default() }
    }
}

impl<Q: Clone, A> Together<Q, A> {
    /// Asks a question. `ask_all` asks several at once and answers them in their order.
    ///
    /// # Errors
    ///
    /// What `ask_all` says; 503 if it was somebody else's turn, who is told the cause.
    pub async fn ask<F>(&self, question: Q, ask_all: impl Fn(Vec<Q>) -> F) -> Result<A, ApiError>
    where
        F: Future<Output = Result<Vec<A>, ApiError>>,
    {
        loop {
            let (answer, mut told) = oneshot::channel();
            self.lock().push((question.clone(), answer));
            // Whoever's turn it is asks for all that wait.
            let turn = tokio::select! {
                biased;
                told = &mut told => match told {
                    Ok(answer) => return answer,
                    // Whoever asked for us was gone before it heard.
                    Err(_) => continue,
                },
                turn = self.turn.lock() => turn,
            };
            let (questions, answers): (Vec<Q>, Vec<_>) =
                std::mem::take(&mut *self.lock()).into_iter().unzip();
            if !questions.is_empty() {
                // Told before the next one's turn, whose answer may be among these.
                let told = tell(ask_all(questions).await, answers);
                drop(turn);
                told?;
            }
            if let Ok(answer) = told.try_recv() {
                return answer;
            }
        }
    }

    fn lock(&self) -> MutexGuard<'_, Vec<Waiting<Q, A>>> {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Tells all who asked. If nobody knows, the caller gets the cause and the others hear of it.
fn tell<A>(
    asked: Result<Vec<A>, ApiError>,
    answers: Vec<oneshot::Sender<Result<A, ApiError>>>,
) -> Result<(), ApiError> {
    match asked {
        Ok(told) if told.len() != answers.len() => {
            Err(ApiError::internal("there are not as many answers as questions"))
        }
        Ok(told) => {
            for (answer, told) in answers.into_iter().zip(told) {
                // Who is gone needs no answer.
                let _ = answer.send(Ok(told));
            }
            Ok(())
        }
        Err(error) => {
            for answer in answers {
                let _ = answer.send(Err(ApiError::StoreUnavailable(None)));
            }
            Err(error)
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering};
    use std::time::Duration;

    use tokio::sync::Semaphore;

    use super::*;

    /// A database that doubles numbers, one question for each time that it is let.
    struct Doubling {
        together: Together<u32, u32>,
        asked: AtomicUsize,
        let_go: Semaphore,
    }

    impl Doubling {
        fn held() -> Self {
            Self { together: Together::default(), asked: AtomicUsize::new(0), let_go: Semaphore::new(0) }
        }

        async fn ask(&self, number: u32) -> Result<u32, ApiError> {
            self.together.ask(number, |numbers| self.double(numbers)).await
        }

        async fn double(&self, numbers: Vec<u32>) -> Result<Vec<u32>, ApiError> {
            self.asked.fetch_add(1, Ordering::SeqCst);
            self.let_go.acquire().await.unwrap().forget();
            if numbers.contains(&13) {
                return Err(ApiError::internal("thirteen"));
            }
            Ok(numbers.iter().map(|number| number * 2).collect())
        }

        /// Lets it answer so many questions, once all who ask have asked.
        async fn let_go(&self, questions: usize) {
            tokio::task::yield_now().await;
            self.let_go.add_permits(questions);
        }
    }

    #[tokio::test]
    async fn those_who_come_meanwhile_share_the_next_question() {
        let doubling = Doubling::held();
        let (first, second, third, ()) =
            tokio::join!(doubling.ask(1), doubling.ask(2), doubling.ask(3), doubling.let_go(2));
        assert_eq!([first.unwrap(), second.unwrap(), third.unwrap()], [2, 4, 6]);
        assert_eq!(doubling.asked.load(Ordering::SeqCst), 2, "the first alone, then the others");
    }

    #[tokio::test]
    async fn whoever_asks_for_all_may_go_away() {
        let doubling = Doubling::held();
        // The first asks alone; the second then asks for the third too, and goes away while it waits.
        let gone = tokio::time::timeout(Duration::from_millis(60), doubling.ask(2));
        let release = async {
            tokio::time::sleep(Duration::from_millis(20)).await;
            doubling.let_go(1).await;
            tokio::time::sleep(Duration::from_millis(100)).await;
            doubling.let_go(1).await;
        };
        let (first, gone, third, ()) = tokio::join!(doubling.ask(1), gone, doubling.ask(3), release);
        assert!(gone.is_err());
        assert_eq!([first.unwrap(), third.unwrap()], [2, 6]);
        assert_eq!(doubling.asked.load(Ordering::SeqCst), 3, "the third had to ask again");
    }

    #[tokio::test]
    async fn a_failure_is_everybodys_and_its_cause_is_told_once() {
        let doubling = Doubling::held();
        let (first, second, third, ()) =
            tokio::join!(doubling.ask(1), doubling.ask(2), doubling.ask(13), doubling.let_go(3));
        assert_eq!(first.unwrap(), 2);
        let codes = [second.unwrap_err().code(), third.unwrap_err().code()];
        assert!(codes.contains(&"internal_error") && codes.contains(&"store_unavailable"), "{codes:?}");
        assert_eq!(doubling.ask(4).await.unwrap(), 8, "the next question is another one");
    }
}
