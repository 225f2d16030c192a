// Threads that are started once, and do work that is cut into pieces for whoever is there.
#pragma once
#include <atomic>
#include <condition_variable>
#include <cstdint>
#include <functional>
#include <memory>
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

struct Ahead {
    const std::uint8_t* from = nullptr;
    std::size_t bytes = 0;
};

// What a crew does: phases, each cut into pieces, of which every thread has a share to begin with.
// A phase begins when all pieces of the one before are done. None of these may throw; `ahead` is asked
// while pieces of the phase may run already, and so reads only what no piece writes.
class Work {
public:
    virtual ~Work() = default;
    virtual int phases() const = 0;
    // How many pieces of a phase are in a share, at most 65,535. Asked once, as the phase begins.
    virtual int pieces(int phase, int share) = 0;
    virtual void piece(int phase, int share, int number, int thread) = 0;
    // Memory that a share will read in a later phase: who waits fetches it meanwhile.
    virtual Ahead ahead(int, int) { return {}; }
};

// The threads of a pool. Pieces are claimed, and done ones counted: nobody waits for a thread to
// come, only for pieces that one has really begun. So a thread that the system runs late, where
// others want the processors too, finds its share done and goes on with what there is now. Whoever
// does the last piece of a phase opens the next, and does it at once where it is a single piece.
class Crew {
public:
    explicit Crew(int size) : owner(process_id()), size_(size), shares_(size), counts_(size) {
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
    const long owner;       // the process whose threads these are

    void run(Work& work) {
        work_ = &work;
        phase_ = -1;
        done_.store(false, std::memory_order_relaxed);
        open(0);
        while (!done_.load(std::memory_order_acquire)) help(0);
    }

private:
    static constexpr int kPatience = 100;       // looks: a few microseconds
    static constexpr int kSpins = 4000;

    // The pieces of a share that nobody has claimed: the thread itself takes the first, others the
    // last. Who has claimed one may read what the phase is, which cannot end before; nobody else
    // may. The epoch is of the phases ever opened, so that a claim that comes too late fails.
    struct alignas(128) Share {
        std::atomic<std::uint64_t> word{0};     // epoch << 32 | first << 16 | end
        int patience = kPatience;               // of the thread's own, before it helps
        int phase = 0;      // beside it, since a line that another core wrote takes long to come
        std::atomic<const std::uint8_t*> from{nullptr};     // what to fetch while waiting
        std::atomic<std::size_t> bytes{0};
    };
    static std::uint32_t epoch_of(std::uint64_t word) { return static_cast<std::uint32_t>(word >> 32); }

    static int claim(Share& share, bool own) {      // -1: none is left
        std::uint64_t word = share.word.load(std::memory_order_acquire);
        for (;;) {
            const int first = word >> 16 & 0xffff, end = word & 0xffff;
            if (first == end) return -1;
            if (share.word.compare_exchange_weak(word, own ? word + 0x10000 : word - 1, std::memory_order_acq_rel,
                                                 std::memory_order_acquire))
                return own ? first : end - 1;
        }
    }

    // Brings memory near, a little at a time. What it is may be replaced meanwhile, by both or one of its
    // two numbers, and be freed after the last phase: to fetch ahead what is not there does no harm.
    class Fetch {
    public:
        explicit Fetch(const Share& share)
            : at_(reinterpret_cast<std::uintptr_t>(share.from.load(std::memory_order_relaxed))),
              end_(at_ + share.bytes.load(std::memory_order_relaxed)) {}
        bool some() {
            if (at_ >= end_) return false;
            for (int line = 0; line < 4; line++, at_ += 64) __builtin_prefetch(reinterpret_cast<const void*>(at_), 0, 2);
            return true;
        }

    private:
        std::uintptr_t at_, end_;
    };

    // Do what can be claimed; when that was the last of its phase, open the next. Else wait for it.
    // Who is there finishes a share at about the same time, and takes longer where it is helped; so
    // help waits a moment, unless it was needed the last time.
    void help(int t) {
        const std::uint32_t epoch = epoch_of(shares_[t].word.load(std::memory_order_acquire));
        int finished = 0;
        if (finish(t, t, finished)) return open(t);
        Fetch fetch(shares_[t]);
        if (opened(t, epoch, shares_[t].patience, fetch)) return;
        bool helped = false;
        for (int i = 1; i < size_; i++) {
            if (finish(t, (t + i) % size_, finished)) return open(t);
            helped |= finished > 0;
        }
        shares_[t].patience = helped ? 0 : kPatience;
        if (!opened(t, epoch, kSpins, fetch)) sleep(t, epoch);
    }

    // Do what is left of a share, and how many pieces those were; whether nothing then is left of the phase. Counted share by share,
    // so that the last of all need not look at the others'.
    bool finish(int t, int share, int& finished) {
        finished = 0;
        for (int number; (number = claim(shares_[share], share == t)) >= 0; finished++)
            work_->piece(shares_[share].phase, share, number, t);
        return finished && left_.fetch_sub(finished, std::memory_order_acq_rel) == finished;
    }

    void open(int t) {
        while (++phase_ < work_->phases()) {
            int total = 0, some = 0;
            for (int s = 0; s < size_; s++) {
                counts_[s] = work_->pieces(phase_, s);
                total += counts_[s];
                if (counts_[s]) some = s;
            }
            if (total == 1) work_->piece(phase_, some, 0, t);
            if (total > 1 && !begin(t, total)) return;
        }
        done_.store(true);
        if (caller_.asleep.load()) wake(caller_);
    }

    // Let the others have a phase, and do the first piece of one's own share; whether that was all.
    bool begin(int t, int total) {
        left_.store(total + 1, std::memory_order_relaxed);      // with this: the next must not open before it ends
        const std::uint32_t epoch = epoch_.load(std::memory_order_relaxed) + 1;
        const int own = counts_[t] > 0;
        for (int s = 0; s < size_; s++) {
            const Ahead ahead = work_->ahead(phase_, s);
            shares_[s].from.store(ahead.from, std::memory_order_relaxed);
            shares_[s].bytes.store(ahead.bytes, std::memory_order_relaxed);
            shares_[s].phase = phase_;
            const std::uint32_t first = s == t && own ? 0x10000 : 0;
            shares_[s].word.store(static_cast<std::uint64_t>(epoch) << 32 | first | static_cast<std::uint32_t>(counts_[s]),
                                  std::memory_order_release);
        }
        epoch_.store(epoch);
        if (others_.asleep.load()) wake(others_);
        if (caller_.asleep.load()) wake(caller_);
        if (own) work_->piece(phase_, t, 0, t);
        return left_.fetch_sub(own + 1, std::memory_order_acq_rel) == own + 1;
    }

    // Spin while the others are at work on their cores; whether there is something new to do.
    bool opened(int t, std::uint32_t epoch, int spins, Fetch& fetch) const {
        for (; spins > 0; spins--) {
            if (epoch_of(shares_[t].word.load(std::memory_order_acquire)) != epoch) return true;
            if (t == 0 && done_.load(std::memory_order_relaxed)) return true;
            if (!fetch.some()) pause();
        }
        return false;
    }

    // So that whoever holds a piece, or another process, has this core.
    void sleep(int t, std::uint32_t epoch) {
        Sleepers& place = t ? others_ : caller_;
        std::unique_lock<std::mutex> lock(mutex_);
        for (;;) {
            place.asleep.store(true);   // before looking: who opens a phase looks the other way round
            if (epoch_.load() != epoch || (t ? ending_.load() : done_.load())) return;
            place.woken.wait(lock);
        }
    }

    struct Sleepers {
        std::atomic<bool> asleep{false};
        std::condition_variable woken;
    };
    void wake(Sleepers& sleepers) {
        {
            std::lock_guard<std::mutex> lock(mutex_);
            sleepers.asleep.store(false);
        }
        sleepers.woken.notify_all();
    }

    static void pause() {
#if defined(__x86_64__) || defined(_M_X64)
        _mm_pause();
#elif defined(__aarch64__)
        asm volatile("isb");    // waits a little, where "yield" does nothing
#endif
    }

    void serve(int t) {
        while (!ending_.load(std::memory_order_relaxed)) help(t);
    }

    void end() {
        {
            std::lock_guard<std::mutex> lock(mutex_);
            ending_ = true;
        }
        others_.woken.notify_all();
        for (auto& worker : workers_) worker.join();
    }

    const int size_;
    std::vector<Share> shares_;
    std::vector<int> counts_;           // of pieces; of whoever opens a phase
    std::vector<std::thread> workers_;
    std::mutex mutex_;
    Sleepers caller_, others_;
    std::atomic<bool> ending_{false};
    alignas(64) std::atomic<bool> done_{false};
    Work* work_ = nullptr;
    alignas(64) std::atomic<int> left_{0};      // pieces of this phase that are not done
    std::atomic<std::uint32_t> epoch_{0};
    int phase_ = 0;
};

class Pool {
public:
    explicit Pool(int threads) : size_(threads), crew_(new Crew(threads)) {}
    ~Pool() {
        Crew* crew = crew_.load();
        if (crew->owner == process_id()) delete crew;
    }
    Pool(const Pool&) = delete;
    Pool& operator=(const Pool&) = delete;

    int size() const { return size_; }

    // Whoever calls run holds this; others wait, so that several callers may share a pool.
    std::unique_lock<std::mutex> turn() { return std::unique_lock<std::mutex>(crew().turn); }

    // Returns when all is done; the caller is thread 0.
    void run(Work& work) { crew_.load()->run(work); }

    // work(t) for each share t. Which thread does it is not said; it must not throw.
    void run(const std::function<void(int)>& work) {
        struct Once : Work {
            const std::function<void(int)>& work;
            explicit Once(const std::function<void(int)>& work) : work(work) {}
            int phases() const override { return 1; }
            int pieces(int, int) override { return 1; }
            void piece(int, int share, int, int) override { work(share); }
        } once(work);
        run(once);
    }

private:
    // A forked process has this object but not its threads. What they held cannot be released
    // there (destroying a condition that a lost thread waits on never returns), so it is left.
    // No lock is held here: a fork could come while another thread held it.
    Crew& crew() {
        Crew* crew = crew_.load();
        if (crew->owner == process_id()) return *crew;
        auto made = std::make_unique<Crew>(size_);
        if (crew_.compare_exchange_strong(crew, made.get())) return *made.release();
        return *crew;
    }

    const int size_;
    std::atomic<Crew*> crew_;
};

}  // namespace pellucid
