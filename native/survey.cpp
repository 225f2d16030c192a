#include "survey.hpp"

#include <functional>
#include <iterator>
#include <limits>
#include <numeric>
#include <stdexcept>

namespace pellucid {
namespace {

constexpr float kInfinity = std::numeric_limits<float>::infinity();
constexpr float kNoBound = std::numeric_limits<float>::quiet_NaN();
constexpr double kUnknown = std::numeric_limits<double>::quiet_NaN();

// The least number above; NaN, which no number reaches, where there is none.
float next(float x) { return x < kInfinity ? std::nextafter(x, kInfinity) : kNoBound; }

}  // namespace

void Found::look(std::size_t block, const float* scores, std::size_t n) {
    alive[block] = 0;
    for (std::size_t start = 0; start < n; start += kPart)
        alive[block] += look_at_part(block * kParts + start / kPart, scores + start, std::min(kPart, n - start));
    conclude(block);
    sums[block] = kernels->weigh(scores, n, top(block), 1, nullptr);    // while it is near
}

Survey::Survey(const Kernels& kernels, const float* scores, std::size_t n) : Survey(scores, n, [&] {
    Found found(kernels, n);
    for (std::size_t start = 0; start < n; start += kBlock)
        found.look(start / kBlock, scores + start, std::min(kBlock, n - start));
    return found;
}()) {}

Survey::Survey(const Kernels& kernels, Memory scores, std::size_t n) : Survey(kernels, scores.get(), n) {
    row_->own = std::move(scores);
}

Survey::Survey(const float* scores, std::size_t n, Found found)
    : n_(n), row_(std::make_shared<Row>()), found_(std::move(found)), weighed_(found_.sums) {
    row_->scores = scores;
    conclude();
}

Survey Survey::changed(const std::int64_t* places, const float* scores, std::size_t count) {
    leaders(1);         // what is made of it inherits them
    Survey made = *this;
    std::vector<std::pair<std::int64_t, float>> given;
    given.reserve(count);
    for (std::size_t i = 0; i < count; i++) given.push_back({places[i], scores[i]});
    const auto sooner = [](const auto& a, const auto& b) { return a.first < b.first; };
    if (!std::is_sorted(given.begin(), given.end(), sooner)) std::stable_sort(given.begin(), given.end(), sooner);
    Changes all, fresh;                             // of the row; of what this has
    all.reserve(changes_.size() + count);
    fresh.reserve(count);
    auto old = changes_.begin();
    for (std::size_t i = 0; i < given.size(); i++) {
        const auto [place, score] = given[i];
        if (i + 1 < given.size() && given[i + 1].first == place) continue;
        while (old != changes_.end() && old->place < place) all.push_back(*old++);
        const bool again = old != changes_.end() && old->place == place;
        const float before = again ? old->before : quotient(row_->scores[place], row_->by);
        all.push_back({place, before, score});
        fresh.push_back({place, again ? old->after : before, score});
        old += again;
    }
    all.insert(all.end(), old, changes_.end());
    made.changes_ = std::move(all);
    made.total_.reset();
    made.look_again(fresh);
    made.conclude();
    auto moved = [&](const Leader& one) {
        const auto at = std::lower_bound(fresh.begin(), fresh.end(), one.place);
        return at != fresh.end() && at->place == one.place;
    };
    made.leaders_.erase(std::remove_if(made.leaders_.begin(), made.leaders_.end(), moved), made.leaders_.end());
    for (const Change& change : fresh)
        if (const Leader one{change.after, change.place}; one.score >= kLowest && !(edge_ < one)) made.leaders_.push_back(one);
    std::sort(made.leaders_.begin(), made.leaders_.end());
    return made;
}

void Survey::look_again(const Changes& fresh) {
    float room[kBlock];
    for (auto change = fresh.begin(); change != fresh.end();) {
        const std::size_t block = change->place / kBlock;
        const auto first = change;
        while (change != fresh.end() && change->place / kBlock == block) {
            const std::size_t part = change->place / kPart, start = part * kPart, n = std::min(kPart, n_ - start);
            const float highest = found_.highest[part];
            bool below = true;
            for (; change != fresh.end() && change->place / kPart == part; change++) {
                below &= change->before < highest && change->after <= highest;
                found_.alive[block] += (change->after >= kLowest) - (change->before >= kLowest);
            }
            if (!below) found_.look_at_part(part, read(start, n, room), n);
        }
        const double top = found_.tops[block];
        found_.conclude(block);
        if (found_.sums.empty()) continue;
        double& sum = found_.sums[block];
        if (found_.tops[block] != top) sum = kUnknown;
        if (std::isnan(sum)) continue;
        for (auto one = first; one != change; one++) sum += std::exp(one->after - top) - std::exp(one->before - top);
        // What was rounded away when all were added up is little beside a good part of that.
        if (!(sum >= weighed_[block] / 2)) sum = kUnknown;
    }
}

Survey Survey::divided(float by) {
    leaders(1);
    Survey made = *this;
    made.row_ = std::make_shared<Row>();
    Row& row = *made.row_;
    row.by = by;
    for (std::size_t b = 0; b < found_.tops.size(); b++) row.tops.push_back(found_.top(b));
    if (row_->by == 1) {
        row.scores = row_->scores;
        row.own = row_->own;
    } else {            // two roundings are not one
        row.own = Memory(new float[n_]);
        row.scores = row.own.get();
        found_.kernels->divide(row_->scores, row_->by, n_, row.own.get());
    }
    for (Change& change : made.changes_) change.before = quotient(change.before, by), change.after = quotient(change.after, by);
    for (std::vector<float>* found : {&made.found_.tops, &made.found_.highest})     // rounding keeps an order
        found_.kernels->divide(found->data(), by, found->size(), found->data());
    made.most_ = quotient(most_, by);
    made.found_.sums.clear();
    made.total_.reset();
    for (Leader& one : made.leaders_) one.score = quotient(one.score, by);
    if (!all_lead()) {
        // Rounding makes equals of some that were not, of the last and others that came behind it too.
        const float last = quotient(edge_.score, by);
        while (!made.leaders_.empty() && !(made.leaders_.back().score > last)) made.leaders_.pop_back();
        made.edge_ = last < kInfinity ? Leader{next(last), kNoPlace} : Leader{};
    }
    std::sort(made.leaders_.begin(), made.leaders_.end());
    return made;
}

float Survey::operator[](std::size_t place) const {
    const auto at = changes(place);
    return changed(at, place + 1) ? at->after : quotient(row_->scores[place], row_->by);
}

const float* Survey::read(std::size_t start, std::size_t n, Changes::const_iterator from, float* room) const {
    const float* scores = row_->scores + start;
    if (row_->by != 1) {
        found_.kernels->divide(scores, row_->by, n, room);
        scores = room;
    }
    for (; changed(from, start + n); from++) {
        if (scores != room) scores = std::copy_n(scores, n, room) - n;
        room[from->place - start] = from->after;
    }
    return scores;
}

void Survey::conclude() {
    found_.kernels->peak(found_.tops.data(), found_.tops.size(), &most_);
    left_ = std::accumulate(found_.alive.begin(), found_.alive.end(), std::size_t{0});
}

double Survey::scale(std::size_t block) const {
    return found_.sums[block] == 0 ? 0 : std::exp(static_cast<double>(found_.top(block)) - most_);
}

double Survey::weigh(std::size_t block, std::size_t n, float* weights) const {
    const std::size_t start = block * kBlock;
    const float top = found_.top(block);
    // Quotients of their own take as long again as their exponentials, and are what the others see of them.
    if (row_->by != 1 && std::abs(top) <= kNear && !changed(changes(start), start + length(block)))
        return found_.kernels->weigh(row_->scores + start, n, row_->tops[block], row_->by, weights);
    float room[kBlock];
    return found_.kernels->weigh(read(start, n, room), n, top, 1, weights);
}

void Survey::weigh() {
    found_.sums.resize(found_.tops.size(), kUnknown);
    weighed_.resize(found_.tops.size());
    for (std::size_t b = 0; b < found_.sums.size(); b++)
        if (std::isnan(found_.sums[b])) found_.sums[b] = weighed_[b] = weigh(b, length(b), nullptr);
}

std::vector<double> Survey::sums() {
    weigh();
    std::vector<double> scaled = found_.sums;
    for (std::size_t b = 0; b < scaled.size(); b++) scaled[b] *= scale(b);
    return scaled;
}

double Survey::total() {
    if (!total_) {
        const std::vector<double> all = sums();
        total_ = std::accumulate(all.begin(), all.end(), 0.0);
    }
    return *total_;
}

double Survey::mass(const std::int64_t* places, std::size_t count) {
    double sum = 0;
    for (std::size_t i = 0; i < count; i++) sum += std::exp(static_cast<double>((*this)[places[i]]) - most_);
    return sum / total();
}

double Survey::below(std::size_t place) {
    const std::vector<double> all = sums();
    const std::size_t block = place / kBlock;
    double sum = std::accumulate(all.begin(), all.begin() + block, 0.0);
    if (const std::size_t n = place % kBlock) sum += weigh(block, n, nullptr) * scale(block);
    return sum / total();
}

double Survey::lost_of(Survey& before) {
    before.weigh();
    double lost = 0;
    float room[kBlock], old_room[kBlock], gone[kBlock];
    for (std::size_t b = 0; b < found_.tops.size(); b++) {
        const std::size_t start = b * kBlock, n = length(b);
        // Of one row only what was changed can be lost.
        if (row_ == before.row_ && !changed(changes(start), start + n) && !before.changed(before.changes(start), start + n)) continue;
        const float* now = read(start, n, room);
        const float* old = before.read(start, n, old_room);
        for (std::size_t i = 0; i < n; i++) gone[i] = now[i] == -kInfinity ? old[i] : -kInfinity;
        lost += found_.kernels->weigh(gone, n, before.found_.top(b), 1, nullptr) * before.scale(b);
    }
    return lost / before.total();
}

namespace {

// The first place where the running sum exceeds `goal`, from which what is before it is taken.
// Rounding never leads past the last that weighs anything.
template <class Number>
std::size_t reach(const std::vector<Number>& weights, double& goal) {
    double sum = 0, before = 0;
    std::size_t last = weights.size();
    for (std::size_t i = 0; i < weights.size() && !(last < weights.size() && sum > goal); i++) {
        if (!(weights[i] > 0)) continue;
        before = sum;
        sum += weights[i];
        last = i;
    }
    if (last == weights.size()) throw std::invalid_argument("no score is left to draw");
    goal -= before;
    return last;
}

}  // namespace

std::size_t Survey::drawn(double uniform) {
    // Two steps, the block and then the place in it.
    double goal = uniform * total();
    const std::size_t block = reach(sums(), goal), n = length(block);
    goal /= scale(block);
    std::vector<float> weights(n);
    weigh(block, n, weights.data());
    return block * kBlock + reach(weights, goal);
}

std::optional<float> Survey::nucleus(double part) {
    const double wanted = part * total();
    for (std::size_t k = 64; k <= kSorted; k *= 8) {
        const std::vector<Leader>& all = leaders(k);
        std::vector<float> scores(std::min(k, all.size())), weights(scores.size());
        std::transform(all.begin(), all.begin() + scores.size(), scores.begin(), [](const Leader& one) { return one.score; });
        found_.kernels->weigh(scores.data(), scores.size(), most_, 1, weights.data());
        const float least = most_ - kFarthest;
        double sum = 0;
        for (std::size_t i = 0; i < scores.size(); i++) {
            sum += weights[i];
            const bool last = i + 1 == scores.size() ? scores.size() < k : scores[i + 1] < least;
            if (sum >= wanted || last) return scores[i];
        }
    }
    return std::nullopt;
}

void Survey::copy(float* out) const {
    const float* scores = read(0, n_, out);
    if (scores != out) std::copy_n(scores, n_, out);
}

template <class Function>
void Survey::each_part(const float& edge, Function f) const {
    float room[kPart];
    auto change = changes_.begin();
    for (std::size_t b = 0; b < found_.tops.size(); b++) {
        if (found_.tops[b] < edge) continue;                    // NaN is not: beside it there may be more
        for (std::size_t part = b * kParts; part < (b + 1) * kParts && part * kPart < n_; part++) {
            if (found_.highest[part] < edge) continue;
            const std::size_t start = part * kPart, n = std::min(kPart, n_ - start);
            while (changed(change, start)) change++;
            f(start, read(start, n, change, room), n);
        }
    }
}

template <class Function, class Ended>
void Survey::each(const float& edge, Function f, Ended part_ended) const {
    std::uint32_t found[kPart];
    each_part(edge, [&](std::size_t start, const float* scores, std::size_t n) {
        std::size_t count = found_.kernels->between(scores, n, edge, kNoBound, found);
        for (std::size_t i = 0; i < count; i++) f(static_cast<std::int64_t>(start + found[i]), scores[found[i]]);
        part_ended();
    });
}

// So many blocks or parts have one; the lowest number where there are fewer.
float Survey::bound(std::size_t k) const {
    const std::vector<float>& all = k <= found_.tops.size() / 2 ? found_.tops : found_.highest;
    std::vector<float> tops;
    tops.reserve(all.size());
    std::copy_if(all.begin(), all.end(), std::back_inserter(tops), [](float top) { return top > -kInfinity; });
    if (tops.size() < k) return kLowest;
    std::nth_element(tops.begin(), tops.begin() + (k - 1), tops.end(), std::greater<float>());
    return tops[k - 1];
}

Places Survey::leading(std::size_t k) {
    const std::vector<Leader>& all = leaders(k);
    Places places(std::min(k, all.size()));
    std::transform(all.begin(), all.begin() + places.size(), places.begin(), [](const Leader& one) { return one.place; });
    return places;
}

std::optional<float> Survey::least(std::size_t k) {
    const std::vector<Leader>& all = leaders(k);
    return k > 0 && k <= all.size() ? std::optional(all[k - 1].score) : std::nullopt;
}

const std::vector<Survey::Leader>& Survey::leaders(std::size_t k) {
    constexpr std::size_t some = 64;
    if (leaders_.size() < k && !all_lead()) find_leaders(std::max(k, some));
    return leaders_;
}

void Survey::find_leaders(std::size_t k) {
    std::vector<Leader> kept;
    float low = bound(k);
    auto cut = [&] {
        if (kept.size() <= k) return;
        std::nth_element(kept.begin(), kept.begin() + (k - 1), kept.end());
        kept.resize(k);
        // What comes later must be above the last of them: of equals the earlier one leads.
        low = next(kept.back().score);
    };
    each(low, [&](std::int64_t place, float score) { kept.push_back({score, place}); },
         [&] { if (kept.size() / 2 >= k) cut(); });     // not sooner: so all cuts cost O(n)
    cut();
    std::sort(kept.begin(), kept.end());
    edge_ = kept.size() < left_ ? kept.back() : Leader{kLowest, kNoPlace};
    leaders_ = std::move(kept);
}

Places Survey::ranks(const float* some, std::size_t count) {
    Places ranks(count);
    leaders(1);
    const auto& highest = found_.highest;
    // Nearly all are above a rare token; to know all that are above it would be more work than to count once.
    auto few = [&](float mark) { return found_.kernels->reach(highest.data(), highest.size(), mark) <= highest.size() / 2; };
    float lowest = row_->edge;
    for (std::size_t i = 0; i < count; i++)
        if (some[i] < std::min(edge_.score, lowest) && some[i] > -kInfinity && few(some[i])) lowest = some[i];
    if (lowest < row_->edge) look_down_to(lowest);
    for (std::size_t i = 0; i < count; i++) {
        if (some[i] >= edge_.score)
            ranks[i] = 1 + (std::lower_bound(leaders_.begin(), leaders_.end(), Leader{some[i], -1}) - leaders_.begin());
        else if (some[i] > -kInfinity)
            ranks[i] = 1 + above(some[i]);
    }
    return ranks;
}

std::size_t Survey::above(float mark) const {
    const float more = next(mark);
    std::size_t count = 0;
    if (mark < row_->edge) {
        each_part(more, [&](std::size_t, const float* scores, std::size_t n) { count += found_.kernels->reach(scores, n, more); });
        return count;
    }
    count = found_.kernels->reach(row_->high.data(), row_->high.size(), more);
    for (const Change& change : changes_) count += (change.after >= more) - (change.before >= more);
    return count;
}

void Survey::look_down_to(float edge) {
    row_->edge = edge;
    row_->high.clear();
    auto change = changes_.begin();
    each(row_->edge, [&](std::int64_t place, float score) {
        while (changed(change, place)) change++;
        if (!changed(change, place + 1)) row_->high.push_back(score);
    }, [] {});
    for (const Change& one : changes_)
        if (one.before >= row_->edge) row_->high.push_back(one.before);
}

Places Survey::at_least(float edge) {
    Places places;
    if (edge > edge_.score) {
        for (std::size_t i = 0; i < leaders_.size() && leaders_[i].score >= edge; i++) places.push_back(leaders_[i].place);
        std::sort(places.begin(), places.end());
        return places;
    }
    each(edge, [&](std::int64_t place, float) { places.push_back(place); }, [] {});
    return places;
}

}  // namespace pellucid
