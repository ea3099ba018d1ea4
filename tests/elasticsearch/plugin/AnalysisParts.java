// The four analysis parts that the mapping of `.security` needs and that Elastic's distribution for
// integration tests lacks: with them API keys work. Test equipment; a real cluster has its own.
package taskhost.testing;

import java.util.List;
import java.util.Map;
import java.util.function.Function;
import java.util.regex.Pattern;
import org.apache.lucene.analysis.LowerCaseFilter;
import org.apache.lucene.analysis.TokenStream;
import org.apache.lucene.analysis.Tokenizer;
import org.apache.lucene.analysis.email.UAX29URLEmailTokenizer;
import org.apache.lucene.analysis.miscellaneous.RemoveDuplicatesTokenFilter;
import org.apache.lucene.analysis.pattern.PatternCaptureGroupTokenFilter;
import org.elasticsearch.common.settings.Settings;
import org.elasticsearch.index.analysis.AbstractTokenFilterFactory;
import org.elasticsearch.index.analysis.AbstractTokenizerFactory;
import org.elasticsearch.index.analysis.TokenFilterFactory;
import org.elasticsearch.index.analysis.TokenizerFactory;
import org.elasticsearch.indices.analysis.AnalysisModule.AnalysisProvider;
import org.elasticsearch.plugins.AnalysisPlugin;
import org.elasticsearch.plugins.Plugin;

public final class AnalysisParts extends Plugin implements AnalysisPlugin {
    @Override
    public Map<String, AnalysisProvider<TokenFilterFactory>> getTokenFilters() {
        return Map.of(
            "lowercase", filter(settings -> LowerCaseFilter::new),
            "unique", filter(settings -> RemoveDuplicatesTokenFilter::new),
            "pattern_capture", filter(AnalysisParts::patternCapture));
    }

    @Override
    public Map<String, AnalysisProvider<TokenizerFactory>> getTokenizers() {
        return Map.of("uax_url_email", (index, environment, name, settings) ->
            new AbstractTokenizerFactory(name) {
                @Override
                public Tokenizer create() {
                    return new UAX29URLEmailTokenizer();
                }
            });
    }

    private static Function<TokenStream, TokenStream> patternCapture(Settings settings) {
        boolean keepsOriginal = settings.getAsBoolean("preserve_original", true);
        List<String> texts = settings.getAsList("patterns");
        Pattern[] patterns = texts.stream().map(Pattern::compile).toArray(Pattern[]::new);
        return tokens -> new PatternCaptureGroupTokenFilter(tokens, keepsOriginal, patterns);
    }

    private static AnalysisProvider<TokenFilterFactory> filter(
            Function<Settings, Function<TokenStream, TokenStream>> make) {
        return (index, environment, name, settings) -> {
            Function<TokenStream, TokenStream> over = make.apply(settings);
            return new AbstractTokenFilterFactory(name) {
                @Override
                public TokenStream create(TokenStream tokens) {
                    return over.apply(tokens);
                }
            };
        };
    }
}
