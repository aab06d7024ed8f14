// System V messages and semaphores, and POSIX message queues.
#include <mqueue.h>
#include <sys/ipc.h>
#include <sys/msg.h>
#include <sys/sem.h>
#include <sys/syscall.h>

#include "tests/conformance/support.h"

namespace conformance {
namespace {

struct Message {
  long type;
  char text[64];
};

class SystemVMessages : public testing::Test {
 protected:
  void SetUp() override { ASSERT_OK(queue_ = msgget(IPC_PRIVATE, 0600)); }
  void TearDown() override { msgctl(queue_, IPC_RMID, nullptr); }
  // Fills the queue; returns how many messages went in.
  int Fill() {
    Message message = {1, {}};
    int count = 0;
    while (msgsnd(queue_, &message, sizeof message.text, IPC_NOWAIT) == 0) ++count;
    EXPECT_EQ(EAGAIN, errno);
    return count;
  }

  int queue_ = -1;
};

TEST_F(SystemVMessages, ReceiveWaitsForAMessageOfItsTypeWhileOthersRun) {
  Event got;
  Message wanted = {};
  Thread receiver([&] {
    EXPECT_EQ(4, msgrcv(queue_, &wanted, sizeof wanted.text, 7, 0));
    got.Post();
  });
  Settle();
  const Message other = {3, "other"}, mine = {7, "mine"};
  ASSERT_OK(msgsnd(queue_, &other, 5, 0));
  EXPECT_FALSE(got.WaitFor(20));
  ASSERT_OK(msgsnd(queue_, &mine, 4, 0));
  got.Wait();
  EXPECT_STREQ("mine", wanted.text);
  EXPECT_EQ(7, wanted.type);
}

TEST_F(SystemVMessages, SendWaitsForRoomWhileOthersRun) {
  ASSERT_GT(Fill(), 0);
  Event sent;
  Thread sender([&] {
    const Message more = {1, {}};
    EXPECT_OK(msgsnd(queue_, &more, sizeof more.text, 0));
    sent.Post();
  });
  Settle();
  Message taken;
  EXPECT_EQ(static_cast<ssize_t>(sizeof taken.text),
            msgrcv(queue_, &taken, sizeof taken.text, 0, 0));
  sent.Wait();
}

TEST_F(SystemVMessages, WithoutWaitingTheySayThatThereIsNothing) {
  Message message = {1, {}};
  EXPECT_ERRNO(ENOMSG, msgrcv(queue_, &message, sizeof message.text, 0, IPC_NOWAIT));
  message.type = 0;
  EXPECT_ERRNO(EINVAL, msgsnd(queue_, &message, 1, 0));
  EXPECT_ERRNO(EFAULT, msgsnd(queue_, nullptr, 1, 0));
  message.type = 1;
  ASSERT_OK(msgsnd(queue_, &message, 8, 0));
  EXPECT_ERRNO(E2BIG, msgrcv(queue_, &message, 4, 0, 0));
  EXPECT_EQ(4, msgrcv(queue_, &message, 4, 0, MSG_NOERROR));
  EXPECT_ERRNO(EINVAL, msgrcv(-1, &message, 4, 0, 0));
}

// signal(7): never restarted.
TEST_F(SystemVMessages, WaitsEndWithEintrEvenWithSaRestart) {
  SignalHandler handler(SIGUSR1, CountSignal, SA_RESTART);
  Event done;
  Thread receiver([&] {
    Message message;
    EXPECT_ERRNO(EINTR, msgrcv(queue_, &message, sizeof message.text, 0, 0));
    done.Post();
  });
  SignalUntil(receiver.handle(), SIGUSR1, &done);
  ASSERT_GT(Fill(), 0);
  Thread sender([&] {
    const Message message = {1, {}};
    EXPECT_ERRNO(EINTR, msgsnd(queue_, &message, sizeof message.text, 0));
    done.Post();
  });
  SignalUntil(sender.handle(), SIGUSR1, &done);
}

TEST_F(SystemVMessages, RemovalOfTheQueueEndsAWait) {
  Event ended;
  Thread receiver([&] {
    Message message;
    EXPECT_ERRNO(EIDRM, msgrcv(queue_, &message, sizeof message.text, 0, 0));
    ended.Post();
  });
  Settle();
  ASSERT_OK(msgctl(queue_, IPC_RMID, nullptr));
  ended.Wait();
}

sembuf Operation(int number, int change, int flags = 0) {
  return {static_cast<unsigned short>(number), static_cast<short>(change),
          static_cast<short>(flags)};
}

class SystemVSemaphores : public testing::Test {
 protected:
  void SetUp() override { ASSERT_OK(set_ = semget(IPC_PRIVATE, 2, 0600)); }
  void TearDown() override { semctl(set_, 0, IPC_RMID); }
  int Add(int number, int change, int flags = 0) {
    sembuf one = Operation(number, change, flags);
    return static_cast<int>(syscall(SYS_semop, set_, &one, 1));  // libc makes it semtimedop
  }

  int set_ = -1;
};

TEST_F(SystemVSemaphores, DecrementWaitsForAnIncrementWhileOthersRun) {
  Event taken;
  Thread taker([&] {
    EXPECT_OK(Add(0, -2));
    taken.Post();
  });
  Settle();
  ASSERT_OK(Add(0, 1));
  EXPECT_FALSE(taken.WaitFor(20));
  ASSERT_OK(Add(0, 1));
  taken.Wait();
  EXPECT_EQ(0, semctl(set_, 0, GETVAL));
}

TEST_F(SystemVSemaphores, ZeroIsWaitedForAndOperationsAreDoneTogether) {
  ASSERT_OK(Add(0, 1));
  Event done;
  Thread waiter([&] {
    sembuf both[] = {Operation(0, 0), Operation(1, 5)};
    EXPECT_OK(semop(set_, both, 2));
    done.Post();
  });
  Settle();
  EXPECT_EQ(0, semctl(set_, 1, GETVAL));
  ASSERT_OK(Add(0, -1));
  done.Wait();
  EXPECT_EQ(5, semctl(set_, 1, GETVAL));
}

TEST_F(SystemVSemaphores, WhatCannotBeDoneFailsOrTimesOut) {
  EXPECT_ERRNO(EAGAIN, Add(0, -1, IPC_NOWAIT));
  // The operation that cannot be done is the one that may not wait.
  sembuf mixed[] = {Operation(1, 1), Operation(0, -1, IPC_NOWAIT)};
  EXPECT_ERRNO(EAGAIN, semop(set_, mixed, 2));
  EXPECT_EQ(0, semctl(set_, 1, GETVAL));
  sembuf one = Operation(0, -1);
  const int64_t start = NowNs();
  timespec time = {0, 10'000'000};
  EXPECT_ERRNO(EAGAIN, semtimedop(set_, &one, 1, &time));
  EXPECT_GE(NowNs() - start, 10'000'000);
  time.tv_nsec = 2'000'000'000;
  EXPECT_ERRNO(EINVAL, semtimedop(set_, &one, 1, &time));
  EXPECT_ERRNO(EFAULT, semtimedop(set_, &one, 1, reinterpret_cast<timespec*>(1)));
  EXPECT_ERRNO(EINVAL, semop(set_, &one, 0));
  EXPECT_ERRNO(EFAULT, semop(set_, nullptr, 1));
  one.sem_num = 2;
  EXPECT_ERRNO(EFBIG, semop(set_, &one, 1));
  EXPECT_ERRNO(EINVAL, semop(-1, &one, 1));
}

TEST_F(SystemVSemaphores, ManyOperationsWaitToo) {
  sembuf many[100];
  for (sembuf& one : many) one = Operation(0, -1);
  Event done;
  Thread waiter([&] {
    EXPECT_OK(semop(set_, many, 100));
    done.Post();
  });
  Settle();
  ASSERT_OK(Add(0, 100));
  done.Wait();
  EXPECT_EQ(0, semctl(set_, 0, GETVAL));
}

TEST_F(SystemVSemaphores, WaitEndsWithEintrEvenWithSaRestart) {
  SignalHandler handler(SIGUSR1, CountSignal, SA_RESTART);
  Event done;
  Thread waiter([&] {
    timespec minute = {60, 0};
    sembuf one = Operation(0, -1);
    EXPECT_ERRNO(EINTR, semtimedop(set_, &one, 1, &minute));
    done.Post();
  });
  SignalUntil(waiter.handle(), SIGUSR1, &done);
  EXPECT_EQ(0, semctl(set_, 0, GETVAL));
}

// SEM_UNDO belongs to the process, whoever waited.
TEST_F(SystemVSemaphores, UndoHappensWhenTheProcessEnds) {
  const pid_t child = StartChild([&] {
    Event done;
    Thread waiter([&] {
      EXPECT_OK(Add(0, -2, SEM_UNDO));
      done.Post();
    });
    done.Wait();
    return 0;
  });
  Settle();
  ASSERT_OK(Add(0, 2));
  ExpectExited(0, WaitForChild(child));
  EXPECT_EQ(2, semctl(set_, 0, GETVAL));
}

TEST_F(SystemVSemaphores, RemovalOfTheSetEndsAWait) {
  Event ended;
  Thread waiter([&] {
    EXPECT_ERRNO(EIDRM, Add(0, -1));
    ended.Post();
  });
  Settle();
  ASSERT_OK(semctl(set_, 0, IPC_RMID));
  ended.Wait();
}

class MessageQueue : public testing::Test {
 protected:
  void SetUp() override {
    const std::string name = "/bobbin-conformance-" + std::to_string(getpid());
    mq_attr attributes = {};
    attributes.mq_maxmsg = 2;
    attributes.mq_msgsize = 16;
    ASSERT_OK(queue_ = mq_open(name.c_str(), O_RDWR | O_CREAT | O_EXCL, 0600, &attributes));
    mq_unlink(name.c_str());
  }
  void TearDown() override { mq_close(queue_); }

  mqd_t queue_ = -1;
  char text_[16] = {};
};

TEST_F(MessageQueue, ReceiveWaitsForAMessageWhileOthersRun) {
  Event got;
  Thread receiver([&] {
    unsigned priority = 0;
    EXPECT_EQ(2, mq_receive(queue_, text_, sizeof text_, &priority));
    EXPECT_EQ(9u, priority);
    got.Post();
  });
  Settle();
  ASSERT_OK(mq_send(queue_, "hi", 2, 9));
  got.Wait();
  EXPECT_STREQ("hi", text_);
}

TEST_F(MessageQueue, SendWaitsForRoomWhileOthersRun) {
  ASSERT_OK(mq_send(queue_, "1", 1, 0));
  ASSERT_OK(mq_send(queue_, "2", 1, 0));
  Event sent;
  Thread sender([&] {
    EXPECT_OK(mq_send(queue_, "3", 1, 0));
    sent.Post();
  });
  Settle();
  for (char expected : {'1', '2', '3'}) {
    EXPECT_EQ(1, mq_receive(queue_, text_, sizeof text_, nullptr));
    EXPECT_EQ(expected, text_[0]);
  }
  sent.Wait();
}

TEST_F(MessageQueue, TimeOutsAreNotEarlyAndBadOnesAreInvalid) {
  timespec until = FromNow(CLOCK_REALTIME, 20);
  EXPECT_ERRNO(ETIMEDOUT, mq_timedreceive(queue_, text_, sizeof text_, nullptr, &until));
  EXPECT_GE(NowNs(CLOCK_REALTIME), until.tv_sec * 1'000'000'000 + until.tv_nsec);
  until.tv_nsec = -1;
  EXPECT_ERRNO(EINVAL, mq_timedreceive(queue_, text_, sizeof text_, nullptr, &until));
  EXPECT_ERRNO(EINVAL, mq_timedsend(queue_, "x", 1, 0, &until));
  EXPECT_ERRNO(EMSGSIZE, mq_receive(queue_, text_, 1, nullptr));
  EXPECT_ERRNO(EMSGSIZE, mq_send(queue_, text_, 17, 0));
  EXPECT_ERRNO(EBADF, mq_send(-1, "x", 1, 0));
  ASSERT_OK(mq_send(queue_, "1", 1, 0));
  ASSERT_OK(mq_send(queue_, "2", 1, 0));
  until = FromNow(CLOCK_REALTIME, 20);
  EXPECT_ERRNO(ETIMEDOUT, mq_timedsend(queue_, "3", 1, 0, &until));
}

TEST_F(MessageQueue, NonBlockingQueueSaysAgain) {
  mq_attr attributes = {};
  attributes.mq_flags = O_NONBLOCK;
  ASSERT_OK(mq_setattr(queue_, &attributes, nullptr));
  EXPECT_ERRNO(EAGAIN, mq_receive(queue_, text_, sizeof text_, nullptr));
  ASSERT_OK(mq_send(queue_, "1", 1, 0));
  ASSERT_OK(mq_send(queue_, "2", 1, 0));
  EXPECT_ERRNO(EAGAIN, mq_send(queue_, "3", 1, 0));
}

TEST_F(MessageQueue, SignalEndsAWaitUnlessItRestarts) {
  Event done;
  {
    SignalHandler handler(SIGUSR1, CountSignal);
    Thread receiver([&] {
      EXPECT_ERRNO(EINTR, mq_receive(queue_, text_, sizeof text_, nullptr));
      done.Post();
    });
    SignalUntil(receiver.handle(), SIGUSR1, &done);
  }
  SignalHandler handler(SIGUSR1, CountSignal, SA_RESTART);
  const int before = handled_signals;
  Thread receiver([&] {
    EXPECT_EQ(1, mq_receive(queue_, text_, sizeof text_, nullptr));
    done.Post();
  });
  Settle();
  ASSERT_EQ(0, pthread_kill(receiver.handle(), SIGUSR1));
  while (handled_signals == before) SleepMs(1);
  ASSERT_OK(mq_send(queue_, "x", 1, 0));
  done.Wait();
}

// mq_notify(3): whoever waits in mq_receive comes first.
TEST_F(MessageQueue, NoticeIsNotGivenWhereAThreadWaits) {
  SignalHandler handler(SIGUSR2, CountSignal);
  const int before = handled_signals;
  sigevent notice = {};
  notice.sigev_notify = SIGEV_SIGNAL;
  notice.sigev_signo = SIGUSR2;
  Event got;
  Thread receiver([&] {
    EXPECT_EQ(1, mq_receive(queue_, text_, sizeof text_, nullptr));
    got.Post();
  });
  Settle();
  Settle();
  ASSERT_OK(mq_notify(queue_, &notice));
  ASSERT_OK(mq_send(queue_, "1", 1, 0));
  got.Wait();
  EXPECT_EQ(before, handled_signals);
  ASSERT_OK(mq_send(queue_, "2", 1, 0));
  while (handled_signals == before) SleepMs(1);
}

}  // namespace
}  // namespace conformance
