// Threads that are started once, and a barrier light enough to stand between two operations.
#pragma once
#include <atomic>
#include <condition_variable>
#include <functional>
#include <mutex>
#include <thread>
#include <vector>

#if defined(__x86_64__) || defined(_M_X64)
#include <immintrin.h>
#endif
#if defined(__unix__) || defined(__APPLE__)
#include <unistd.h>
#endif

namespace pellucid {

inline long process_id() {
#if defined(__unix__) || defined(__APPLE__)
    return static_cast<long>(::getpid());
#else
    return 0;       // where a process cannot fork
#endif
}

// The threads of a pool, and what they wait for.
class Crew {
public:
    explicit Crew(int size) : size_(size) {
        try {
            for (int t = 1; t < size; t++) workers_.emplace_back([this, t] { serve(t); });
        } catch (...) {     // the system has no more threads: end those that were started
            end();
            throw;
        }
    }
    ~Crew() { end(); }
    Crew(const Crew&) = delete;
    Crew& operator=(const Crew&) = delete;

    std::mutex turn;        // held by the one who runs

    void run(const std::function<void(int)>& work) {
        {
            std::lock_guard<std::mutex> lock(mutex_);
            work_ = &work;
            running_.store(size_ - 1, std::memory_order_relaxed);
            round_++;
        }
        wake_.notify_all();
        work(0);
        for (int spins = 0; running_.load(std::memory_order_acquire) > 0; spins++) rest(spins);
    }

    void barrier() {
        if (size_ == 1) return;
        unsigned phase = phase_.load(std::memory_order_acquire);
        if (arrived_.fetch_add(1, std::memory_order_acq_rel) + 1 == size_) {
            arrived_.store(0, std::memory_order_relaxed);
            phase_.store(phase + 1, std::memory_order_release);
        } else {
            for (int spins = 0; phase_.load(std::memory_order_acquire) == phase; spins++) rest(spins);
        }
    }

private:
    // Spin while the others are at work on their cores; then let whoever holds one go first.
    static void rest(int spins) {
        if (spins > 4000) {
            std::this_thread::yield();
            return;
        }
#if defined(__x86_64__) || defined(_M_X64)
        _mm_pause();
#endif
    }

    void serve(int t) {
        unsigned seen = 0;
        for (;;) {
            const std::function<void(int)>* work;
            {
                std::unique_lock<std::mutex> lock(mutex_);
                wake_.wait(lock, [&] { return ending_ || round_ != seen; });
                if (ending_) return;
                seen = round_;
                work = work_;
            }
            (*work)(t);
            running_.fetch_sub(1, std::memory_order_acq_rel);
        }
    }

    void end() {
        {
            std::lock_guard<std::mutex> lock(mutex_);
            ending_ = true;
        }
        wake_.notify_all();
        for (auto& worker : workers_) worker.join();
    }

    int size_;
    std::vector<std::thread> workers_;
    std::mutex mutex_;
    std::condition_variable wake_;
    const std::function<void(int)>* work_ = nullptr;
    unsigned round_ = 0;
    bool ending_ = false;
    alignas(64) std::atomic<int> running_{0};
    alignas(64) std::atomic<int> arrived_{0};
    alignas(64) std::atomic<unsigned> phase_{0};
};

class Pool {
public:
    explicit Pool(int threads) : size_(threads), owner_(process_id()), crew_(new Crew(threads)) {}
    ~Pool() {
        if (owner_ == process_id()) delete crew_;
    }
    Pool(const Pool&) = delete;
    Pool& operator=(const Pool&) = delete;

    int size() const { return size_; }

    // Whoever calls run holds this; others wait, so that several callers may share a pool.
    std::unique_lock<std::mutex> turn() { return std::unique_lock<std::mutex>(crew().turn); }

    // work(t) for each thread t; the caller is thread 0. Returns when all are done. Work must not
    // throw: the others would wait for ever at the next barrier.
    void run(const std::function<void(int)>& work) { crew_->run(work); }

    // Called by every thread inside run: none goes on before all have come.
    void barrier() { crew_->barrier(); }

private:
    // A forked process has this object but not its threads. What they held cannot be released
    // there (destroying a condition that a lost thread waits on never returns), so it is left.
    Crew& crew() {
        static std::mutex starting;
        std::lock_guard<std::mutex> lock(starting);
        if (owner_ != process_id()) {
            crew_ = new Crew(size_);
            owner_ = process_id();
        }
        return *crew_;
    }

    const int size_;
    long owner_;
    Crew* crew_;
};

}  // namespace pellucid
