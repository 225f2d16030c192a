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

namespace pellucid {

class Pool {
public:
    explicit Pool(int threads) : size_(threads) {
        for (int t = 1; t < threads; t++) workers_.emplace_back([this, t] { serve(t); });
    }
    ~Pool() {
        {
            std::lock_guard<std::mutex> lock(mutex_);
            ending_ = true;
        }
        wake_.notify_all();
        for (auto& worker : workers_) worker.join();
    }
    Pool(const Pool&) = delete;
    Pool& operator=(const Pool&) = delete;

    int size() const { return size_; }

    // work(t) for each thread t; the caller is thread 0. Returns when all are done.
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

    // Called by every thread inside run: none goes on before all have come.
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

}  // namespace pellucid
