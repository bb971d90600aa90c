package attestation

import (
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/netip"
	"net/url"
	"path"
	"slices"
	"strings"
	"syscall"
)

// maxRedirects is how often a registry may send on for one layer.
const maxRedirects = 3

// transport sends requests to one registry. Of its redirects it follows those of layers, and only to hosts that are listed:
// what comes from there is checked by its digest, and nothing that identifies the operator is sent there.
type transport struct {
	host string
	// listed are the hosts that may be asked: registries, and where these keep layers.
	listed []string
	// spend is told of all that is read, and may refuse more.
	spend func(bytes int) error
	base  *http.Transport
}

func newTransport(host string, listed []string, spend func(int) error) *transport {
	dialer := &net.Dialer{Timeout: fetchTimeout / 2, Control: func(_, address string, _ syscall.RawConn) error { return mayDial(address, listed) }}
	return &transport{host: host, listed: listed, spend: spend, base: &http.Transport{
		DialContext:            dialer.DialContext,
		TLSHandshakeTimeout:    fetchTimeout / 2,
		ResponseHeaderTimeout:  fetchTimeout / 2,
		MaxResponseHeaderBytes: 64 << 10,
		DisableCompression:     true,
	}}
}

// mayDial refuses addresses of the machine itself and of its link, where cloud providers serve credentials, unless they are
// listed as addresses: a name that is listed may come to mean one of them.
func mayDial(address string, listed []string) error {
	at, err := netip.ParseAddrPort(address)
	if err != nil {
		return err
	}
	ip := at.Addr().Unmap()
	if !ip.IsLoopback() && !ip.IsUnspecified() && !ip.IsMulticast() && !ip.IsLinkLocalUnicast() {
		return nil
	}
	named := func(listed string) bool {
		host := (&url.URL{Host: listed}).Hostname()
		literal, err := netip.ParseAddr(host)
		return err == nil && literal.Unmap() == ip || host == "localhost" && ip.IsLoopback()
	}
	if slices.ContainsFunc(listed, named) {
		return nil
	}
	return fmt.Errorf("the name leads to %s, which is an address of this machine or of its link: list the address itself if it is meant", ip)
}

// RoundTrip implements http.RoundTripper.
func (t *transport) RoundTrip(req *http.Request) (*http.Response, error) {
	if req.URL.Host != t.host {
		return nil, fmt.Errorf("the registry sends to another host, %s; that is not followed", req.URL.Host)
	}
	resp, err := t.base.RoundTrip(req)
	for hops, at := 1, req.URL; err == nil && redirects(resp); hops++ {
		resp.Body.Close()
		switch {
		case !ofLayer(req):
			return nil, fmt.Errorf("the registry redirects (%s); that is not followed but for layers", resp.Status)
		case hops > maxRedirects:
			return nil, fmt.Errorf("the registry redirects more than %d times; that is not followed", maxRedirects)
		}
		if at, err = t.target(at, resp); err != nil {
			return nil, err
		}
		resp, err = t.elsewhere(req, at)
	}
	if err != nil {
		return nil, err
	}
	if strings.Contains(req.URL.Path, "/referrers/") && resp.Header.Get("Link") != "" {
		resp.Body.Close()
		return nil, errors.New("the registry gives referrers page by page, and the library would read but the first")
	}
	resp.Body = &bounded{ReadCloser: resp.Body, left: maxAnswer, spend: t.spend}
	return resp, nil
}

func redirects(resp *http.Response) bool { return resp.StatusCode >= 300 && resp.StatusCode < 400 }

// ofLayer says whether a request is for a layer.
func ofLayer(req *http.Request) bool {
	return req.Method == http.MethodGet && strings.HasPrefix(req.URL.Path, "/v2/") && path.Base(path.Dir(req.URL.Path)) == "blobs"
}

// target gives where an answer sends to, if that may be followed.
func (t *transport) target(from *url.URL, resp *http.Response) (*url.URL, error) {
	location := resp.Header.Get("Location")
	to, err := from.Parse(location)
	switch {
	case location == "" || err != nil:
		return nil, fmt.Errorf("the registry redirects (%s) to nowhere; that is not followed", resp.Status)
	case to.Scheme != "https" && !(to.Scheme == "http" && from.Scheme == "http"):
		return nil, fmt.Errorf("the registry redirects from %s to %s; that is not followed", from.Scheme, to.Scheme)
	case to.User != nil:
		return nil, errors.New("the registry redirects to an address with credentials; that is not followed")
	case !slices.Contains(t.listed, hostOf(to)):
		return nil, fmt.Errorf("the registry redirects to %s, which is not followed: have that host added to --evidence-blob-hosts", hostOf(to))
	}
	return to, nil
}

// hostOf gives the host of an address as it is listed: without the port that goes without saying.
func hostOf(u *url.URL) string {
	host := strings.ToLower(u.Host)
	port := map[string]string{"https": ":443", "http": ":80"}[u.Scheme]
	return strings.TrimSuffix(host, port)
}

// elsewhere asks another host for what a request asks for, and sends nothing along.
func (t *transport) elsewhere(req *http.Request, to *url.URL) (*http.Response, error) {
	again, err := http.NewRequestWithContext(req.Context(), req.Method, to.String(), nil)
	if err != nil {
		return nil, errors.New("the registry redirects to what is no address; that is not followed")
	}
	again.Header.Set("User-Agent", req.UserAgent())
	return t.base.RoundTrip(again)
}

// bounded is a body that ends with an error when it is longer than what may be read.
type bounded struct {
	io.ReadCloser
	left  int
	spend func(bytes int) error
}

// Read implements io.Reader.
func (b *bounded) Read(p []byte) (int, error) {
	if b.left <= 0 {
		return 0, fmt.Errorf("the registry answers with more than the %d bytes that are read", maxAnswer)
	}
	n, err := b.ReadCloser.Read(p[:min(len(p), b.left)])
	b.left -= n
	if over := b.spend(n); over != nil {
		return n, over
	}
	return n, err
}
