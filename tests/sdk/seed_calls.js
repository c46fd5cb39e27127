analytics.identify('userId123', {
  email: 'john.doe@segment.com',
  richpanel_session_id: 'abc123'
});

analytics.page('Pricing', {
  title: 'Segment Pricing',
  url: 'https://segment.com/pricing',
  richpanel_session_id: 'abc123'
});

analytics.track('Clicked Login Button', {
    richpanel_session_id: 'abc123'
})
