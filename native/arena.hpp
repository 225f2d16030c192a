// Room for matrices: many in one chunk of memory, in huge pages where the system gives them.
#pragma once
#include <cstddef>
#include <cstdint>
#include <memory>
#include <new>

#ifdef __linux__
#include <sys/mman.h>
#endif

namespace pellucid {

constexpr std::size_t kHugePage = std::size_t{2} << 20;

inline std::shared_ptr<std::uint8_t> in_huge_pages(std::size_t bytes) {
    constexpr std::align_val_t at{kHugePage};
    std::shared_ptr<std::uint8_t> chunk(static_cast<std::uint8_t*>(::operator new(bytes, at)),
                                        [at](std::uint8_t* p) { ::operator delete(p, at); });
#if defined(__linux__) && defined(MADV_HUGEPAGE)
    madvise(chunk.get(), bytes, MADV_HUGEPAGE);     // advice: without, it is only slower
#endif
    return chunk;
}

// A pass reads all weights once, so that with pages of 4 KiB each of them costs a walk through the
// page tables: a tenth of a decode step. One caller at a time.
class Arena {
public:
    // Bytes that live as long as the pointer; what is not written to takes no memory. A chunk lives
    // as long as anything in it.
    std::shared_ptr<std::uint8_t> take(std::size_t bytes) {
        if (bytes > kChunk / 2) return in_huge_pages(bytes);
        bytes = (bytes + kLine - 1) / kLine * kLine;
        auto chunk = chunk_.lock();
        if (!chunk || bytes > left_) {
            chunk_ = chunk = in_huge_pages(left_ = kChunk);
            next_ = chunk.get();
        }
        std::shared_ptr<std::uint8_t> taken(chunk, next_);
        next_ += bytes;
        left_ -= bytes;
        return taken;
    }

private:
    static constexpr std::size_t kLine = 64, kChunk = 32 * kHugePage;

    std::weak_ptr<std::uint8_t> chunk_;
    std::uint8_t* next_ = nullptr;
    std::size_t left_ = 0;
};

}  // namespace pellucid
